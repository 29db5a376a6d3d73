"""Trains units and predicts: what a client actor does, and the in-process executor too."""

import sys
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from raysim.batch import Batch, Clock, Nets
from raysim.data.dataset import Array
from raysim.data.federated import CLIENTS, PERSONAL, View
from raysim.draws import Draws, Key
from raysim.evaluation.slices import Own, Tuned
from raysim.generation.measure import Meter, Rows
from raysim.generation.plan import GENERATION, Part
from raysim.method import Compute, Train
from raysim.models.feature import pooled
from raysim.models.task import encode
from raysim.training.altering import Altering
from raysim.training.collecting import collected
from raysim.training.context import Networks, UnitContext, own_tensors
from raysim.training.job import Job
from raysim.training.loading import Samples, load
from raysim.training.loss import task_loss
from raysim.training.results import (
    Broadcast,
    ClientFailure,
    ClientState,
    Flat,
    UnitResult,
    blaming,
    joined,
)
from raysim.training.returned import entries, hook_name, shaped
from raysim.training.stage import run_stage
from raysim.training.tuning import tuning_job
from raysim.training.units import Unit, halves

_IN_PARTS = (
    "a stack did not fit the device's memory, so it is trained in parts; the last digits of this trial may differ from "
    "those on a larger device. A smaller numerics.stack avoids that"
)
_TOO_LARGE = (
    "one client alone does not fit the device's memory; lower federation.batch_size, or raise "
    "placement.gpus_per_client where others share the device"
)


class Trainer:
    """One trial's work in one process. Keeps nothing of a unit or of a client but how many clients fit the device.

    Args:
        job: the trial.
        between: what is to be done between two stages.
    """

    def __init__(self, job: Job, between: Callable[[], None] | None = None) -> None:
        self.job, self._between = job, between
        self._most = sys.maxsize
        self._meter: Meter | None = None
        self._tuners: dict[int, Trainer] = {}
        self.networks = Networks(job)

    def train(self, broadcast: Broadcast, unit: Unit, states: Mapping[int, ClientState]) -> UnitResult:
        """Runs the stages of a phase for a unit's clients; in halves where the device's memory does not hold them.

        Args:
            broadcast: the server's word for this round.
            unit: the clients and their shares in the means.
            states: the private states of those that have one.

        Raises:
            ClientFailure: a loss or a change is not finite or a change is too large, where the scenario does not skip
                such clients; the method's code raised, or one client alone does not fit the device's memory.
        """
        if len(unit.clients) <= self._most:
            try:
                return self._train(broadcast, unit, states)
            except torch.OutOfMemoryError as error:
                if len(unit.clients) == 1:
                    raise ClientFailure(unit.clients, broadcast.round, "train", _TOO_LARGE) from error
                self._most = (len(unit.clients) + 1) // 2
        # Outside the handler: a traceback would keep all tensors alive.
        if self.job.device.type == "cuda":
            torch.cuda.empty_cache()
        return joined([self.train(broadcast, half, states) for half in halves(unit)], _IN_PARTS)

    def _train(self, broadcast: Broadcast, unit: Unit, states: Mapping[int, ClientState]) -> UnitResult:
        return collected(*self._trained(broadcast, unit, states))

    def _trained(
        self, broadcast: Broadcast, unit: Unit, states: Mapping[int, ClientState]
    ) -> tuple[UnitContext, Samples, Array]:
        """What the clients hold after the stages, their samples, and the seconds that each took."""
        job = self.job
        author = type(job.method)
        with blaming(unit.clients, broadcast.round, "init_state", author):
            if job.method.has("init_state"):
                job.seed("init_state", *unit.clients)
            context = UnitContext(self.networks, broadcast, unit, states)
        parts = [job.data.part(c) for c in unit.clients]
        data = job.data
        mask = data.mask_in(broadcast.round, lambda mask, present: job.method.observe(mask, present, job.task))
        loaded = load(
            data.dataset, data.dataset.train, parts, mask, job.device, data.labels,
            altering=Altering(job.trial.seed, data.noise, data.holes.get("train", {})),
        )  # fmt: skip
        seconds = np.zeros(len(unit.clients))
        for stage in context.phase.stages:
            members = [k for k, info in enumerate(context.infos) if stage.clients(info)]
            began = time.perf_counter()
            with blaming(tuple(unit.clients[k] for k in members), broadcast.round, stage.name, author):
                if context.valid(members):
                    self._run(context, stage, loaded, members)
            seconds[members] += (time.perf_counter() - began) / max(len(members), 1)
            if self._between is not None:
                self._between()
        return context, loaded, seconds

    def _run(self, context: UnitContext, stage: Train | Compute, loaded: Samples, members: list[int]) -> None:
        valid = context.valid(members)
        if isinstance(stage, Compute):
            with torch.no_grad():
                for k in valid:
                    batch = context.all_rows(loaded, k, stage.name)
                    self.job.seed("stage", context.broadcast.round, stage.name, context.unit.clients[k])
                    changed = entries(stage.run(context.nets((k,), axis=False), batch), hook_name(stage.run))
                    context.states[k].update({n: v.clone() for n, v in changed.items()})
            like = {n: v for n, v in context.states[valid[0]].items() if n.startswith("method/")}
            for k in set(members) - set(valid):  # their state is thrown away, but a stack's clients keep alike
                context.states[k].update(like)
        elif len(members) > 1 and stage.stack and self.job.stackable:
            run_stage(context, stage, loaded, members, axis=True)
        else:
            for k in valid:
                run_stage(context, stage, loaded, (k,), axis=False)

    def evaluated(
        self, broadcast: Broadcast, seen: View, rows: Array, keys: Sequence[Key] | None = None
    ) -> tuple[Nets, Batch]:
        """The global networks, and some rows of a view; keys name their random numbers, else the rows do."""
        nets = self.networks.bind(self.networks.receive(broadcast)).at_evaluation()
        samples = self._seen(seen, [rows]).narrow((0,), axis=False)
        keys = [_key(seen, int(r)) for r in rows] if keys is None else keys
        batch = self._asked(broadcast, samples, torch.ones(len(rows), dtype=torch.bool, device=self.job.device), keys)
        return nets, self._shared(broadcast, nets, batch)

    def _seen(self, seen: View, parts: Sequence[Array]) -> Samples:
        """Rows of a view, with an axis of `len(parts)`."""
        job = self.job
        split = job.data.dataset.split(seen.split)
        noise = job.data.noise if seen.split == "train" else None  # clients' own rows are as noisy as the others
        altering = Altering(job.trial.seed, noise, job.data.holes.get(seen.split, {}) if seen.holes else {})
        return load(job.data.dataset, split, parts, seen.mask, job.device, altering=altering)

    def _asked(self, broadcast: Broadcast, samples: Samples, rows: Tensor, keys: Sequence[Key]) -> Batch:
        """What is evaluated, of which rows (*K, B) are no padding; a key for each."""
        job = self.job
        return Batch(
            samples.at(...), samples.lengths, samples.present, samples.y, rows,
            clock=Clock(job.phases[broadcast.phase].name, broadcast.round, 0, broadcast.round / job.rounds),
            draws=Draws(job.trial.seed, keys, axis=True, device=job.device, over=tuple(rows.shape)),
            loss=task_loss(job),
        )  # fmt: skip

    def _shared(self, broadcast: Broadcast, nets: Nets, batch: Batch) -> Batch:
        """The batch with what the server shares by the global networks."""
        public, clock = self.networks.public, batch.clock
        if public is None:
            return batch
        return replace(batch, public=public.samples, shared=public.shared(nets, clock.phase, clock.round))

    @contextmanager
    def _asking(self, broadcast: Broadcast, what: str, *ids: int | str) -> Generator[None]:
        """The method is asked about global networks, for a slice that the ids name."""
        job = self.job
        with blaming((), broadcast.round, what, type(job.method)), job.precision():
            job.seed(what, broadcast.round, *ids)
            yield

    @torch.no_grad()
    def features(self, broadcast: Broadcast, start: int, stop: int) -> Flat:
        """Embeddings of some of the pictured validation samples by the global networks.

        Returns:
            (rows, 2 M D): for each modality its embedding, the mean over tokens, and what the method puts in its place
            where it is hidden, the mean over streams by their weights.
        """
        dataset = self.job.data.dataset
        seen = View("validation", dataset.split("validation").presence(dataset.names))
        nets, batch = self.evaluated(broadcast, seen, self.job.pictured[start:stop])
        with self._asking(broadcast, "features", start):
            found: list[Tensor] = []
            for m, real in encode(nets, batch).items():
                hidden = replace(batch, present={**batch.present, m: torch.zeros_like(batch.present[m])})
                filled = self.job.method.fill(hidden, nets, encode(nets, hidden))[m]
                found += [real.pooled(), pooled(filled)]
        return torch.cat(found, dim=-1).float().cpu().numpy()

    @torch.no_grad()
    def examine(self, broadcast: Broadcast, start: int, stop: int) -> dict[tuple[str, ...], NDArray[np.float64]]:
        """The method's sums over some validation samples, which lack only what the data lacks.

        Raises:
            ClientFailure: the method's code raised.
        """
        dataset = self.job.data.dataset
        seen = View("validation", dataset.split("validation").presence(dataset.names))
        nets, batch = self.evaluated(broadcast, seen, np.arange(start, stop))
        with self._asking(broadcast, "examine", start):
            found = self.job.method.examine(nets, batch)
        return {n: t.double().cpu().numpy() for n, t in found.items()}

    @torch.no_grad()
    def measure(self, broadcast: Broadcast, part: Part) -> Rows:
        """What a slice of the evaluation of generation asks for; see `raysim.generation.measure`.

        Raises:
            ClientFailure: the generator's code raised, or the rows do not fit the memory.
        """
        job, dataset = self.job, self.job.data.dataset
        numbers = np.arange(part.start, part.stop)
        rows = job.measured[numbers % len(job.measured)]  # of the prior's draws nothing is read
        ids = rows if part.of_samples else numbers
        purpose = (GENERATION, "made" if part.what == "pictures" else part.what, *part.given)
        seen = View("test", dataset.test.presence(dataset.names))
        nets, batch = self.evaluated(broadcast, seen, rows, [(*purpose, int(i)) for i in ids])
        self._meter = self._meter or Meter(job)
        try:
            with blaming((), broadcast.round, GENERATION, type(job.method)):
                job.seed(*purpose, broadcast.round, part.start)
                return self._meter.measure(nets, batch, part)
        except torch.OutOfMemoryError as error:
            reason = f"{len(rows)} rows do not fit the device's memory; lower numerics.evaluation_batch"
            raise ClientFailure((), broadcast.round, GENERATION, reason) from error

    @torch.no_grad()
    def predict(self, broadcast: Broadcast, view: str, start: int, stop: int) -> Flat:
        """Logits (stop - start, C) of some rows of a view, by the global networks; or losses (stop - start,).

        Raises:
            ClientFailure: the method's code raised or returned another shape, or the rows do not fit the memory.
        """
        job = self.job
        seen = job.data.view(view)
        nets, batch = self.evaluated(broadcast, seen, seen.at(start, stop))
        return self._predicted(broadcast, nets, batch, view, start)

    @torch.no_grad()
    def predict_own(self, broadcast: Broadcast, part: Own, states: Mapping[int, ClientState]) -> Flat:
        """The same of rows that clients keep, by the global networks and the groups that each client has of its own.

        Args:
            broadcast: the global networks.
            part: the clients and which of their rows.
            states: those of clients that have one; the others have their own groups as these started.

        Returns:
            (rows, C), client after client.

        Raises:
            ClientFailure: as `predict`.
        """
        first, axis = self.networks.receive(broadcast), len(part.clients) > 1
        batch = self._kept(broadcast, part)
        if self.networks.public is not None:
            batch = self._shared(broadcast, self.networks.bind(first).at_evaluation(), batch)
        mine = own_tensors(self.job, first, [states.get(c, {}) for c in part.clients], axis=axis)
        nets = self.networks.bind({**first, **mine}).at_evaluation()
        found = self._predicted(broadcast, nets, batch, part.view, part.start, *part.clients)
        return found[batch.rows.cpu().numpy()]

    def predict_tuned(self, broadcast: Broadcast, part: Tuned, states: Mapping[int, ClientState]) -> Flat:
        """The same by what each client has after it has fine-tuned it on its training rows.

        Raises:
            ClientFailure: as `predict` and `train`.
        """
        tuner = self._tuner(broadcast.phase)
        told = replace(broadcast, phase=0, round=broadcast.round + 1)  # what a client of the next round would get
        try:
            context, _, _ = tuner._trained(told, Unit(0, part.clients, {}), states)
        except torch.OutOfMemoryError as error:
            reason = "clients that fine-tune do not fit the device's memory; lower numerics.stack"
            raise ClientFailure(part.clients, broadcast.round, "personalise", reason) from error
        members, axis = tuple(range(len(part.clients))), len(part.clients) > 1
        tensors = {n: context.tensors(n, members, axis=axis) for n in self.job.groups}
        nets = tuner.networks.bind(tensors).at_evaluation()
        width = max(self.job.scenario.numerics.evaluation_batch // len(members), 1)
        found: list[Flat] = []
        with torch.no_grad():
            for start in range(0, part.stop, width):
                batch = self._kept(broadcast, replace(part, start=start, stop=min(start + width, part.stop)))
                batch = replace(batch, public=context.public and context.public.samples, shared=context.shared)
                found.append(self._predicted(broadcast, nets, batch, part.view, start, *part.clients))
        counts = [len(rows) for rows in self._rows_of(part)]
        whole = np.concatenate(found, axis=int(axis))
        return np.concatenate([w[:n] for w, n in zip(whole, counts, strict=True)]) if axis else whole

    def _tuner(self, phase: int) -> "Trainer":
        """What clients fine-tune with, in a phase."""
        wish = self.job.scenario.evaluation.clients
        assert wish is not None, "clients are judged"
        assert wish.tuning is not None, "they fine-tune"
        if phase not in self._tuners:
            self._tuners = {phase: Trainer(tuning_job(self.job, wish.tuning, phase))}
        return self._tuners[phase]

    def _rows_of(self, part: Own) -> list[Array]:
        """Which rows of the split those of a slice are, for each client."""
        held, split = self.job.data.held, part.view.removeprefix(CLIENTS).removesuffix(PERSONAL)
        assert held is not None, "clients keep rows"
        return [held.of_client(split, client)[part.start : part.stop] for client in part.clients]

    def _kept(self, broadcast: Broadcast, part: Own) -> Batch:
        """Rows that clients keep, with a client axis where there are several."""
        seen, parts = self.job.data.view(part.view.removesuffix(PERSONAL)), self._rows_of(part)
        loaded, axis = self._seen(seen, parts), len(parts) > 1
        samples = loaded if axis else loaded.narrow((0,), axis=False)
        rows = torch.arange(max(map(len, parts))) < torch.tensor([[len(rows)] for rows in parts])
        keys = [_key(seen, int(p[i]) if i < len(p) else -1) for p in parts for i in range(rows.shape[1])]
        return self._asked(broadcast, samples, (rows if axis else rows[0]).to(self.job.device), keys)

    def _predicted(self, broadcast: Broadcast, nets: Nets, batch: Batch, *ids: int | str) -> Flat:
        """Logits (*K, B, C) of a batch, or losses (*K, B)."""
        job, shape = self.job, tuple(batch.rows.shape)
        try:
            with self._asking(broadcast, "evaluation", *ids):
                if job.method.has("losses"):
                    losses = job.method.losses(nets, batch)
                    found = shaped(losses, shape, "losses", "one for each row", "return (*K, B)")
                else:
                    meaning = "task.classes logits for each row"
                    logits = job.method.predict(nets, batch)
                    found = shaped(logits, (*shape, job.task.classes), "predict", meaning, "return (*K, B, C)")
                return found.float().cpu().numpy()
        except torch.OutOfMemoryError as error:
            reason = f"{batch.rows.numel()} rows do not fit the device's memory; lower numerics.evaluation_batch"
            raise ClientFailure((), broadcast.round, "evaluation", reason) from error


def _key(seen: View, row: int) -> Key:
    """Whose random numbers those of an evaluated sample are."""
    return ("evaluation", seen.split, row)
