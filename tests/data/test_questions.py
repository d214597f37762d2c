"Question files, judgements and retrieval runs: what must be refused, and what must survive a round trip"
import pytest
from lrat.data.questions import Question, read_qrels, read_questions, read_trec_run, write_qrels, write_questions, write_trec_run
from lrat.core.settings import InputError

def written(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path

@pytest.mark.parametrize("text, message", [
    ("Which owl hunts by day?\n", "asked.tsv:1: has one column, so it has no query id"),
    ("q1\tWhich?\nHow far can it fly?\n", "asked.tsv:2: has one column"),
    ("Which owl hunts by day?\tHawk-owl\n", "asked.tsv:1: .*is the id column missing"),
    ("\tWhich?\n", "asked.tsv:1: the query id is empty"),
    ("q1\t\n", "asked.tsv:1: the question 'q1' has no text"),
    ("q1\tWhich?\tOwl\textra\n", "asked.tsv:1: has 4 columns"),
    ("q1\tWhich?\n\nq2\tHow?\nq1\tWhy?\n", "asked.tsv:4: query id 'q1' was used in line 1"),
    ("Query_ID\tquestion\nq1\tWhich?\n", "asked.tsv:1: looks like a header"),
    ("", "asked.tsv: holds no question")])
def test_a_question_file_that_is_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=message): read_questions(written(tmp_path/"asked.tsv", text))

def test_a_question_file_that_is_missing_or_no_text(tmp_path):
    with pytest.raises(InputError, match="no such file"): read_questions(tmp_path/"none.tsv")
    with pytest.raises(InputError, match="asked.tsv:1: is not UTF-8"):
        read_questions(written(tmp_path/"asked.tsv", "q1\tWo ist Köln?\n", "latin-1"))

def test_questions_from_another_editor(tmp_path):
    "A byte order mark, Windows line ends, quotes, and line separators that are not line ends"
    path = written(tmp_path/"asked.tsv", '\ufeff1\tIs "this" quoted?\tyes\r\n2\tone\u2028line\t\r\n')
    assert read_questions(path) == [Question("1", 'Is "this" quoted?', "yes"), Question("2", "one\u2028line", None)]

def test_questions_survive(tmp_path):
    asked = [Question("a", "Which?", "Öl"), Question("b", "How?")]
    write_questions(tmp_path/"asked.tsv", iter(asked))
    assert read_questions(tmp_path/"asked.tsv") == asked

def test_a_question_that_does_not_fit_leaves_the_old_file(tmp_path):
    write_questions(tmp_path/"asked.tsv", [Question("a", "Which?")])
    with pytest.raises(InputError, match="'b' holds a tab"):
        write_questions(tmp_path/"asked.tsv", [Question("a", "Why?"), Question("b", "one\ttwo")])
    assert read_questions(tmp_path/"asked.tsv") == [Question("a", "Which?")]
    assert [path.name for path in tmp_path.iterdir()] == ["asked.tsv"]

@pytest.mark.parametrize("text, message", [
    ("q1 Q0 d1 1\nq1 d2 1\n", "j.qrels:2: has 3 columns, but must have 4"),
    ("q1 Q0 d1 1 2\n", "j.qrels:1: has 5 columns"),
    ("q1 Q0 d1 high\n", "j.qrels:1: relevance is 'high', but must be a number"),
    ("q1 Q0 d1 1\nq1 Q0 d1 0\n", "j.qrels:2: 'd1' is judged 0 for 'q1', but 1 further up"),
    ("\n", "j.qrels: holds no judgement")])
def test_judgements_that_are_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=message): read_qrels(written(tmp_path/"j.qrels", text))

def test_judgements_with_tabs_and_repeats(tmp_path):
    assert read_qrels(written(tmp_path/"j.qrels", "q1\t0\td1\t1\nq1 Q0 d1 1\nq2 Q0 d1 0\n")) == {"q1": {"d1": 1}, "q2": {"d1": 0}}
    write_qrels(tmp_path/"k.qrels", {"q2": {"d": 2}, "q1": {"c": 0}})
    assert (tmp_path/"k.qrels").read_text() == "q2 Q0 d 2\nq1 Q0 c 0\n"

@pytest.mark.parametrize("text, message", [
    ("q1 Q0 d1 1 2.5\n", "r.run:1: has 5 columns, but must have 6"),
    ("q1 Q0 d1 1 best x\n", "r.run:1: score is 'best', but must be a number"),
    ("q1 Q0 d1 1 2 x\nq1 Q0 d1 2 1 x\n", "r.run:2: 'd1' is ranked twice")])
def test_runs_that_are_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=message): read_trec_run(written(tmp_path/"r.run", text))

def test_ir_measures_reads_what_we_write(tmp_path):
    measures = pytest.importorskip("ir_measures")
    write_qrels(tmp_path/"j.qrels", {"q1": {"b": 1}, "q2": {"c": 1}})
    write_trec_run(tmp_path/"r.run", {"q1": [("a", 2.0), ("b", 1.0)], "q2": [("c", 0.1), ("a", 0.05)]}, "test")
    found = measures.calc_aggregate([measures.R@1, measures.RR], measures.read_trec_qrels(str(tmp_path/"j.qrels")),
                                    measures.read_trec_run(str(tmp_path/"r.run")))
    assert found == {measures.R@1: 0.5, measures.RR: 0.75}
