"""Tests of faults that are known; each entry goes when its fault does."""

import pytest

KNOWN = {
    ("test_av_mnist", "test_what_is_malformed_is_one_line[short mnist]"),
    ("test_av_mnist", "test_what_is_malformed_is_one_line[no such digit]"),
    ("test_av_mnist", "test_what_is_malformed_is_one_line[broken archive]"),
    ("test_av_mnist", "test_what_is_malformed_is_one_line[no key]"),
    ("test_av_mnist", "test_what_is_malformed_is_one_line[short key]"),
    ("test_av_mnist", "test_what_is_malformed_is_one_line[no digit]"),
    ("test_av_mnist", "test_what_is_malformed_is_one_line[no speaker]"),
    ("test_cmu_mosi", "test_what_is_malformed_is_one_line[no column]"),
    ("test_cmu_mosi", "test_what_is_malformed_is_one_line[short row]"),
    ("test_cmu_mosi", "test_what_is_malformed_is_one_line[not utf-8]"),
    ("test_cmu_mosi", "test_what_is_malformed_is_one_line[no rows]"),
    ("test_cmu_mosi", "test_what_is_malformed_is_one_line[torn]"),
    ("test_cmu_mosi", "test_what_is_malformed_is_one_line[no key]"),
    ("test_cmu_mosi", "test_what_is_malformed_is_one_line[pickled]"),
    ("test_utd_mhad", "test_a_folder_becomes_a_dataset"),
    ("test_utd_mhad", "test_no_recording[missing]"),
    ("test_utd_mhad", "test_no_recording[empty]"),
    ("test_utd_mhad", "test_no_recording[broken]"),
    ("test_utd_mhad", "test_no_recording[columns]"),
    ("test_utd_mhad", "test_no_recording[no rows]"),
    ("test_utd_mhad", "test_no_recording[text]"),
    ("test_utd_mhad", "test_no_recording[joints]"),
    ("test_utd_mhad", "test_no_recording[height]"),
    ("test_utd_mhad", "test_no_recording[no frames]"),
    ("test_utd_mhad", "test_what_is_malformed_is_one_line[text]"),
    ("test_utd_mhad", "test_what_is_malformed_is_one_line[no key]"),
    ("test_polymnist", "test_what_is_malformed_is_one_line[no pictures]"),
    ("test_polymnist", "test_what_is_malformed_is_one_line[no number]"),
    ("test_polymnist", "test_what_is_malformed_is_one_line[no digit]"),
    ("test_polymnist", "test_what_is_malformed_is_one_line[small photo]"),
    ("test_polymnist", "test_what_is_malformed_is_one_line[broken photo]"),
    ("test_polymnist", "test_labels_that_fit_no_pictures_are_one_line"),
}

LEAVES_FILES_OPEN = ("torn", "text", "broken archive")


def pytest_collection_modifyitems(items):
    for item in items:
        if (item.path.stem, item.name) in KNOWN:
            run = not item.name.endswith(tuple(f"[{case}]" for case in LEAVES_FILES_OPEN))
            item.add_marker(pytest.mark.xfail(reason="a known fault", strict=False, run=run))
