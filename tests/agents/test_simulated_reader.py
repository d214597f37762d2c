"A simulated reader draws what it opens and keeps with stated chances, collects for training alone, and is refused everywhere else"
import pytest
pytest.importorskip("aiohttp", reason="the agents extra is not installed")
from lrat.agents.actions import Budget
from lrat.agents.collect import collect, collect_command
from lrat.agents.registry import open_agent
from lrat.agents.scripted import HELPS
from lrat.agents.simulated_reader import READERS, known_questions, of_comprehension, reader_settings
from lrat.core.settings import InputError, LratError, load_settings
from lrat.data.corpus import open_corpus
from lrat.data.questions import Question, write_qrels, write_questions
from lrat.evaluation.costs import is_scripted
from lrat.evaluation.scores import score_trajectories
from lrat.pipeline.pipeline import Pipeline
from lrat.pipeline.roles import roles
from lrat.testing.museum import EVALUATION_QUESTIONS, QUESTIONS, write_museum
from lrat.testing.retriever import WordRetriever, first_words
from lrat.trajectories.trajectory import iterate_trajectories


@pytest.fixture(scope="module")
def museum(tmp_path_factory): return open_corpus(write_museum(tmp_path_factory.mktemp("museum"))[0])

@pytest.fixture(scope="module")
def qrels(museum):
    docid_of = {document.title: document.docid for document in museum}
    return {q.query_id: {docid_of[q.answer]: 1} for q in (*QUESTIONS, *EVALUATION_QUESTIONS) if q.answer in docid_of}

def run(museum, qrels, which, folder, questions=QUESTIONS, **options):
    reader = open_agent(f"reader:{which}", corpus=museum, known=known_questions(questions, qrels))
    collect(questions, WordRetriever(), reader, folder, Budget(k=4), first_words, **options)
    return {t.query_id: t for t in iterate_trajectories(folder)}


def test_the_same_whatever_the_order_the_batch_and_an_interruption(museum, qrels, tmp_path):
    def steps(found): return {name: [(s.tool_name, s.arguments, s.output) for s in t.steps] for name, t in found.items()}
    at_once = steps(run(museum, qrels, "0.5", tmp_path/"one"))
    assert at_once == steps(run(museum, qrels, "0.5", tmp_path/"two", list(reversed(QUESTIONS)), batch_size=1))
    (tmp_path/"one"/f"run_{QUESTIONS[2].query_id}.json").unlink()
    assert at_once == steps(run(museum, qrels, "0.5", tmp_path/"one"))


def test_a_perfect_reader_opens_evidence_alone_and_keeps_it(museum, qrels, tmp_path):
    browses = [(name, b) for name, t in run(museum, qrels, "perfect", tmp_path).items() for b in t.browses()]
    assert browses and all(b.docid in qrels[name] and b.reasoning.startswith(HELPS) for name, b in browses)


def test_it_answers_in_one_way_by_two_names_and_other_judgements_are_another_collection(museum, qrels, tmp_path):
    run(museum, qrels, "1", tmp_path)
    other = {name: {"m01": 1} for name in qrels}
    with pytest.raises(LratError, match="was made with evidence = "): run(museum, other, "1", tmp_path)


def test_of_many_draws_the_paper_s_shares_are_kept():
    from lrat.agents.simulated_reader import draw
    paper = READERS["paper"]
    for chance in (paper.useful_evidence, paper.useful_other):
        kept = sum(draw(2025, f"q{n}", 1, "d", "useful") < chance for n in range(5000)) / 5000
        assert kept == pytest.approx(chance, abs=.02)
    assert (paper.useful_evidence, paper.useful_other) == (.972, .748)


def test_comprehension_raises_every_signal_of_evidence_and_lowers_the_others():
    dial = [of_comprehension(c / 10) for c in range(11)]
    for name in ("open", "useful", "words"):
        evidence, other = ([getattr(s, f"{name}_{kind}") for s in dial] for kind in ("evidence", "other"))
        assert evidence == sorted(evidence) and other == sorted(other, reverse=True) and evidence[0] == other[0]


@pytest.mark.parametrize("text, says", [("", "no simulated reader ''"), ("2", "from 0 .guessing. to 1"), ("paper:", "no setting ''"), ("paper:seed=x", "takes a number"),
                                        ("inf", "from 0"), ("paper:spread=nan", "give 0 to 2")])
def test_a_name_that_cannot_be_read_is_one_line(text, says):
    with pytest.raises(LratError, match=says) as caught: reader_settings(text)
    assert "\n" not in str(caught.value)


def test_it_must_know_the_evidence_and_others_must_not(museum, qrels):
    with pytest.raises(LratError, match="add --qrels FILE"): open_agent("reader:1", corpus=museum)
    for name, options in (("patient", {}), ("glm", {"endpoint": "http://127.0.0.1:1/v1"})):
        with pytest.raises(LratError, match="leave out --qrels"): open_agent(name, corpus=museum, known={}, **options)
    with pytest.raises(InputError, match="no evidence for the question 'q9'"): known_questions([Question("q9", "Who?")], qrels)


def test_evaluation_is_refused_by_every_command_with_one_line(museum, qrels, tmp_path, monkeypatch):
    retriever = WordRetriever()
    retriever.corpus = museum
    monkeypatch.setattr("lrat.agents.collect.open_index", lambda folder, **second: retriever)
    monkeypatch.setattr("lrat.agents.collect.collect", lambda *args, **more: collect(*args[:5], first_words))
    write_questions(tmp_path/"train.tsv", QUESTIONS)
    write_questions(tmp_path/"eval.tsv", EVALUATION_QUESTIONS)
    write_qrels(tmp_path/"train.qrels", qrels)
    def command(questions, out, **options):
        collect_command(str(tmp_path/questions), "index", str(tmp_path/out), agent="reader:paper", qrels=str(tmp_path/"train.qrels"), k=4, **options)
    with pytest.raises(LratError, match="evaluates nothing: choose another agent"): command("train.tsv", "none", evaluation=True)
    command("train.tsv", "out")
    found = list(iterate_trajectories(tmp_path/"out"))
    assert len(found) == len(QUESTIONS) and all(t.metadata["simulated"] is True and is_scripted(t) for t in found)
    with pytest.raises(LratError, match="evaluates nothing: collect with another agent") as caught: score_trajectories(tmp_path/"out", QUESTIONS, qrels)
    assert "reader:paper" in str(caught.value) and "\n" not in str(caught.value)


def test_the_pipeline_collects_with_it_and_never_evaluates_with_it(tmp_path):
    settings = load_settings("smoke", agent__collection_policies=["reader:0.5"])
    assert roles(settings) == []
    with pytest.raises(LratError, match="'reader:0.5' simulates reading .* evaluates nothing"):
        Pipeline(settings, tmp_path).trajectories("world-eval", "reader:0.5", "base")
    with pytest.raises(LratError, match="'reader:0.5' simulates reading"): Pipeline(load_settings("smoke", agent__policies=["patient", "reader:0.5"]), tmp_path)
