"Any bytes and any rows: a parser gives what is there or an `LratError`, drops nothing, and comes back soon."
import json, math
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, example, given, settings, strategies as st
from lrat.core.names import safe_name
from lrat.core.rows import IndexedJsonl
from lrat.core.files import parse_json, read_jsonl
from lrat.core.settings import LratError, Settings, load_settings, parse_settings, setting_types
from lrat.data.corpus import Document, open_corpus, write_corpus
from lrat.data.questions import Question, read_qrels, read_questions, read_trec_run, whole_grades, write_qrels, write_questions, write_trec_run
from lrat.data.sources import source_rows
from lrat.trajectories.trajectory import STEP_TYPES, Trajectory, parse_trajectory, read_trajectory, thoughts, trajectory_name, visible, write_trajectory

few = settings(max_examples=40, deadline=timedelta(seconds=2), derandomize=True, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
letters = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
words = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp"]), min_size=1, max_size=12).filter(lambda text: text.split() == [text])
plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
values = st.recursive(plain, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4), max_leaves=12)
names = st.sampled_from(["docid", "id", "_id", "doc_id", "pid", "title", "text", "contents", "body", "passage", "url", "query_id", "query", "question", "answer"])
rows = st.lists(st.dictionaries(names, values | words, max_size=5), max_size=4)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch): monkeypatch.setenv("LRAT_CACHE", str(tmp_path/"cache"))


def result(read, *given):
    "What a parser gives, or None for what it refuses in one line"
    try: return read(*given)
    except LratError as error: assert str(error) and "\n" not in str(error).replace("\\n", "")


def lines(rows): return "".join(json.dumps(row) + "\n" for row in rows)


@few
@given(st.binary(max_size=300))
@example(b"\xff\xfe{\0}\0") # UTF-16
@example(b"\x1f\x8b\x08\0") # gzip without an end
@example(b"\x28\xb5\x2f\xfd") # zstd without an end
@example(b"PAR1PAR1")
@example(b"ARROW1\0\0")
@example(b"\xff\xff\xff\xff\xff\xff\xff\x7f")
@example(b"q1 Q0 d 1 nan x\n")
@example(b'{"a": 1}\r\n\xef\xbb\xbf{"a": 2}')
def test_any_bytes(tmp_path, data):
    for name in ("x.jsonl", "x.tsv", "x.parquet", "x.arrow"):
        (tmp_path/name).write_bytes(data)
        for read in (open_corpus, read_questions, read_qrels, read_trec_run, read_trajectory, lambda path: list(source_rows(path)), lambda path: list(read_jsonl(path)), IndexedJsonl):
            result(read, tmp_path/name)


@few
@given(rows)
def test_any_rows(tmp_path, rows):
    (tmp_path/"c.jsonl").write_text(lines(rows))
    if (corpus := result(open_corpus, tmp_path/"c.jsonl")) is not None:
        assert [document.docid for document in corpus] == list(corpus.docids) and len(corpus) == len(rows)
        for row, document in zip(rows, corpus): # No text of a field that counts is lost
            for name in ("title", "text", "contents", "body", "passage"):
                assert row.get(name) is None or row[name].strip().strip('"').strip() in document.text
    if (asked := result(read_questions, tmp_path/"c.jsonl")) is not None: assert len(asked) == len(rows)


@few
@given(st.lists(st.tuples(words, letters), min_size=1, max_size=5, unique_by=lambda pair: pair[0]))
def test_a_corpus_comes_back(tmp_path, pairs):
    documents = [Document(docid, text) for docid, text in pairs]
    write_corpus(tmp_path/"c.jsonl", documents)
    corpus = open_corpus(tmp_path/"c.jsonl")
    assert list(corpus) == documents == [corpus[docid] for docid, _ in pairs]


@few
@given(values)
def test_json_is_what_python_reads_or_refused(value):
    text = json.dumps(value)
    found = result(parse_json, text, "x:1")
    if found is not None: assert json.dumps(found, ensure_ascii=False, allow_nan=False).encode() and found == json.loads(text)


grades = st.integers(-3, 9) | st.floats(-9, 9).map(lambda grade: round(grade, 3))


@few
@given(st.dictionaries(words, st.dictionaries(words, grades, min_size=1, max_size=4), min_size=1, max_size=4))
def test_judgements_and_rankings_come_back(tmp_path, judged):
    write_qrels(tmp_path/"j.qrels", judged)
    assert read_qrels(tmp_path/"j.qrels") == judged
    whole = whole_grades(judged)
    for query in judged:
        assert sorted(judged[query], key=lambda docid: (judged[query][docid], docid)) == sorted(judged[query], key=lambda docid: (whole[query][docid], docid))
        assert all((grade > 0) == (judged[query][docid] > 0) for docid, grade in whole[query].items())
    write_trec_run(tmp_path/"r.run", judged, "x")
    found = read_trec_run(tmp_path/"r.run") # Equal scores are moved apart by as little as a float32 can hold, so that each reader keeps the order
    assert found.keys() == judged.keys()
    for query, scores in judged.items():
        assert sorted(scores, key=lambda docid: -scores[docid]) == sorted(found[query], key=lambda docid: -found[query][docid])
        assert all(abs(found[query][docid] - score) <= 1e-5 * max(1, abs(score)) for docid, score in scores.items())


@few
@given(st.lists(st.tuples(words.filter(lambda word: word.lower() not in ("query_id", "qid", "id") and word[0] not in "#{"), words, st.none() | words), min_size=1, max_size=4, unique_by=lambda one: one[0]))
def test_questions_come_back(tmp_path, asked):
    questions = [Question(*one) for one in asked]
    write_questions(tmp_path/"q.tsv", questions)
    assert read_questions(tmp_path/"q.tsv") == questions
    (tmp_path/"q.jsonl").write_text(lines([{"query_id": i, "question": text, "answer": answer} for i, text, answer in asked]))
    assert read_questions(tmp_path/"q.jsonl") == questions


step_fields = {"type": st.sampled_from([*STEP_TYPES, "other"]) | values, "tool_name": st.sampled_from(["search", "visit", "get_document"]) | values,
               "arguments": st.sampled_from(['{"query": "x"}', '{"query": "\\ud800"}', '{"docid": [7, "d"]}', "[" * 9999, '{"docid": ' + 5000 * "1" + "}"]) | values,
               "output": st.sampled_from(["DocID:7\n[T]\nt", '[{"docid": 7}]', "[" * 9999]) | values, "reasoning_content": values, "parallel": values}
steps = st.lists(st.fixed_dictionaries({}, optional=step_fields), max_size=5)
trajectories = st.fixed_dictionaries({}, optional={"query_id": values | letters, "query": values, "answer": values, "status": values, "result": steps | values, "metadata": values,
                                                   "usage": values, "tool_call_counts": values, "retrieved_docids": values})


@few
@given(trajectories)
def test_any_trajectory(tmp_path, row):
    run = result(parse_trajectory, row, "run_1.json", "run_1")
    if run is None: return
    assert len(run.steps) == len(row["result"])
    for browse in run.browses(): assert isinstance(browse.docid, str) and isinstance(browse.reasoning, str)
    for search in run.searches(): assert search.query.encode()
    assert run.final_answer is None or isinstance(run.final_answer, str)
    try: path = write_trajectory(tmp_path/"runs", run)
    except ValueError: return # NaN and halves of letters, which a file that was read does not hold
    again = read_trajectory(path)
    assert (again.query_id, again.searches(), again.browses(), again.final_answer) == (run.query_id, run.searches(), run.browses(), run.final_answer)


@few
@given(st.lists(letters | st.text(max_size=400), min_size=2, max_size=6, unique=True))
def test_ids_have_names_of_their_own(tmp_path, ids):
    assert len({safe_name(text).casefold() for text in ids}) == len(ids)
    for text in ids:
        path = tmp_path/f"{trajectory_name(text)}.json"
        path.touch()
        assert path.parent == tmp_path and len(path.name.encode()) < 200


@few
@given(st.lists(st.sampled_from(["<think>", "</think>", "a", "\n"]), max_size=30).map("".join))
@example("<think>" * 200_000)
@example("</think>" + "<think>" * 200_000)
def test_thinking_is_found_soon(message):
    assert len(visible(message)) <= len(message) and thoughts(message) in message


@few
@given(st.sampled_from(sorted(setting_types())), st.text(max_size=20) | values.map(json.dumps))
@example("agent.policies", "[" * 99999)
@example("agent.policies", "[NaN]")
@example("training.epochs", "1e999")
@example("seed", "9" * 5000)
def test_any_setting(name, text):
    changes = result(parse_settings, [f"{name}={text}"])
    if changes is None: return
    made = result(lambda: load_settings("smoke", **changes))
    assert made is None or isinstance(made, Settings)
    for value in changes.values(): assert not isinstance(value, float) or math.isfinite(value)
