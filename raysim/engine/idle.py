"""What stands where Ray wants a helper process to run, and nobody asks anything of it: waits for its parent's end."""

import os
import select

if __name__ == "__main__":
    select.select([os.pidfd_open(os.getppid())], [], [])
