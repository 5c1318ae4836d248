"""The times without a write and without a read, and how a run's figures tell them."""

from torture.book import Book
from torture.chapter import Chapter, Round, felt
from torture.report import figures, gaps, told

ROUNDS = (
    Round(0, "rolling-restart", True, 12_000, 400, 900, 50, 300),
    Round(1, "rolling-restart", True, 14_000, 700, 1100, 80, 250),
    Round(2, "rolling-restart", True, 13_000, 500, 2000, 60, 5000),
    Round(3, "main-killed", True, 9_000, 3000, 3100, 40, 3000),
    Round(4, "main-killed", False, 99_000, 9999, 9999, 9999, 9999),
)


def chapter(*rounds: Round) -> Chapter:
    """One in which these were played, and nothing else."""
    return Chapter(1, Book(0.0), list(rounds))


def test_nobody_and_the_unluckiest_are_told_apart() -> None:
    """While one client succeeds somebody does; a client without any success waits all the time."""
    times = {"a": [0.0, 1.0, 2.0, 9.5], "b": [3.0, 6.0], "silent": list[float]()}
    assert felt(times, 0.0, 10.0) == (3500, 10_000)
    assert felt({"a": [0.0, 1.0], "b": [0.5, 1.5]}, 0.0, 2.0) == (500, 1000)
    assert felt({}, 0.0, 2.0) == (2000, 2000)


def test_the_longest_time_without_a_write_decides_what_is_kept() -> None:
    """Whoever asks why a round was slow finds its logs (`--keep-slow`)."""
    assert chapter().longest_write_gap_s == 0.0
    assert chapter(*ROUNDS[:4]).longest_write_gap_s == 3.0


def test_median_and_longest_of_each_kind_of_round() -> None:
    """Writes and reads, of everybody and of the unluckiest; rounds that were not done count not."""
    assert gaps([chapter(*ROUNDS[:2]), chapter(*ROUNDS[2:])]) == {
        "main-killed": {
            "rounds": 1,
            **{"whole_median": 9000, "whole_longest": 9000},
            **{"write_median": 3000, "write_longest": 3000},
            **{"writer_median": 3100, "writer_longest": 3100},
            **{"read_median": 40, "read_longest": 40},
            **{"reader_median": 3000, "reader_longest": 3000},
        },
        "rolling-restart": {
            "rounds": 3,
            **{"whole_median": 13_000, "whole_longest": 14_000},
            **{"write_median": 500, "write_longest": 700},
            **{"writer_median": 1100, "writer_longest": 2000},
            **{"read_median": 60, "read_longest": 80},
            **{"reader_median": 300, "reader_longest": 5000},
        },
    }


def test_the_lines_and_the_file_have_them_all() -> None:
    """A line for each kind of round, in the order of its head; the file has every round besides."""
    result = figures([chapter(*ROUNDS)], 1, "", 60.0)
    head, _, *lines = told(result)
    titles = ("whole again", "nobody writes", "one writer", "nobody reads", "one reader")
    assert [title in head for title in titles] == [True] * 5
    (line,) = [each for each in lines if each.startswith("rolling-restart")]
    wanted = ["3", "13000", "14000", "500", "700", "1100", "2000", "60", "80", "300", "5000"]
    assert line.split()[1:] == wanted
    assert [each["number"] for each in result["each_round"]] == [0, 1, 2, 3, 4]
    assert result["each_round"][2]["reader_gap_ms"] == 5000
