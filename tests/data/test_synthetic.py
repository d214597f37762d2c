"Generated questions, FanOutQA and the scripted agents: what no single notebook shows"
from dataclasses import replace
import pytest
from lrat.agents.actions import Answer, BrowseCall, Page, Result, Results, SearchCall
from lrat.data.corpus import open_corpus
from lrat.data.fanoutqa import build_fanoutqa
from lrat.core.files import sha256_folder
from lrat.agents.scripted import HELPS, HELPS_NOT, PERSONAS, Rarity, ScriptedPolicy, read_question, word_rarity
from lrat.data.questions import read_qrels, read_questions
from lrat.core.settings import LratError, load_settings
from lrat.data.lexicon import WORD, stem
from lrat.data.clues import Planner, split_of, title_stems
from lrat.data.links import most_linked, read_articles
from lrat.data.obfuscation import make_obfuscator, write_question
from lrat.data.synthetic import build_world, measure, plan_questions

SMOKE = load_settings("smoke").world

@pytest.fixture(scope="module")
def articles(): return most_linked(read_articles("wikipedia-leads"), 1000)

@pytest.fixture(scope="module")
def world(articles, tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    build_world(replace(SMOKE, train_questions=80, eval_questions=60), 2025, folder, articles)
    return folder

@pytest.fixture(scope="module")
def corpus(world): return open_corpus(world/"corpus.jsonl")

def documents(path): return {docid for docids in read_qrels(path).values() for docid in docids}

def test_training_and_evaluation_share_no_document(world):
    train, evaluation = documents(world/"train.qrels"), documents(world/"eval.qrels")
    assert train and evaluation and not train & evaluation
    assert all(split_of(d, 2025) == "train" for d in train) and all(split_of(d, 2025) == "eval" for d in evaluation)

def test_evidence_is_in_the_corpus_and_holds_the_gold_document(world, corpus):
    gold = read_qrels(world/"gold.qrels")
    for split in "train", "eval":
        evidence = read_qrels(world/f"{split}.qrels")
        for question in read_questions(world/f"{split}.tsv"):
            (target,) = gold[question.query_id]
            assert corpus[target].title == question.answer
            assert target in evidence[question.query_id] and 2 <= len(evidence[question.query_id]) <= 3
            assert all(docid in corpus for docid in evidence[question.query_id])

def test_same_seed_same_bytes_and_another_seed_others(articles, tmp_path):
    for name, seed in ("a", 1), ("b", 1), ("c", 2): build_world(SMOKE, seed, tmp_path/name, articles)
    assert sha256_folder(tmp_path/"a") == sha256_folder(tmp_path/"b") != sha256_folder(tmp_path/"c")

def test_more_training_questions_change_no_earlier_question(articles, world, tmp_path):
    build_world(replace(SMOKE, train_questions=100, eval_questions=60), 2025, tmp_path, articles)
    assert (tmp_path/"eval.tsv").read_bytes() == (world/"eval.tsv").read_bytes()
    assert (tmp_path/"train.tsv").read_bytes().startswith((world/"train.tsv").read_bytes())

@pytest.mark.parametrize("difficulty", [0., .5, 1.])
def test_no_question_holds_a_word_of_its_targets_title(articles, difficulty):
    planner, obfuscator = Planner(articles, 7), make_obfuscator(articles, difficulty)
    plans = plan_questions(planner, "train", 100)
    for plan in plans:
        words = {stem(part) for w in WORD.findall(write_question(plan, obfuscator)) for part in (w, *w.split("-"))}
        assert not words & title_stems(plan.target), plan.target.title
        for hop in plan.hops:
            if hop.label in "XY": assert not words & (title_stems(planner.articles[hop.docid]) - _named_stems(plan)), hop
    named = sum(any(hop.label not in "XY" for hop in plan.hops) for plan in plans)
    assert 8 <= named <= 35  # about a fifth names an entity

def _named_stems(plan):
    return {stem(w) for hop in plan.hops if hop.label not in "XY" for w in WORD.findall(hop.label)}

def test_a_higher_difficulty_only_takes_away(articles):
    plans = plan_questions(Planner(articles, 5), "train", 120)
    obfuscator, targets = make_obfuscator(articles, 0.), [plan.target.docid for plan in plans]
    def texts(difficulty): return [write_question(plan, replace(obfuscator, difficulty=difficulty)) for plan in plans]
    rows = [measure(articles, texts(difficulty), targets) for difficulty in (0., .25, .5, .75, 1.)]
    shares, firsts = [r["words_in_target"] for r in rows], [r["lexical_first"] for r in rows]
    assert all(a > b for a, b in zip(shares, shares[1:])), shares
    assert all(a >= b - .02 for a, b in zip(firsts, firsts[1:])) and firsts[0] > firsts[-1] + .2, firsts

def test_what_cannot_be_built_says_what_to_change(articles, tmp_path):
    with pytest.raises(LratError, match="lower world.train_questions to"):
        build_world(replace(SMOKE, train_questions=10_000), 1, tmp_path/"x", articles)
    with pytest.raises(LratError, match=r"must be in \[0, 1\]"):
        build_world(replace(SMOKE, difficulty=2.), 1, tmp_path/"x", articles)
    assert not (tmp_path/"x"/"train.tsv").exists()

def test_a_corpus_without_descriptions_yields_questions_too(world, tmp_path):
    settings = replace(SMOKE, corpus=str(world/"corpus.jsonl"), documents=None, train_questions=20, eval_questions=15)
    assert build_world(settings, 3, tmp_path)["train"]["questions"] == 20

def test_fanoutqa_keeps_what_the_corpus_can_answer(corpus, tmp_path):
    report = build_fanoutqa(corpus, replace(SMOKE, leaf_questions=10, fanout_questions=None), tmp_path)
    assert report["leaf_questions"] == 10 and 0 < report["fanout_questions"] <= 161
    for name in "leaf", "fanout":
        qrels = read_qrels(tmp_path/f"{name}.qrels")
        assert set(qrels) == {q.query_id for q in read_questions(tmp_path/f"{name}.tsv")}
        assert all(docid in corpus for docids in qrels.values() for docid in docids) and all(qrels.values())

# Scripted agents

TEXTS = ["", "?", "X", "X is X. X is Y.", "Who wrote it?", "What is the capital of Spain and of France?", "....", "是什么?", "a\tb\nc",
         "(unbalanced [regex * is +. (unbalanced [regex *", "It is a river. A is a town. B is A.", "word " * 3000]

@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", PERSONAS)
def test_any_text_is_a_question(corpus, name, text):
    policy = ScriptedPolicy(name, word_rarity(corpus))
    state, observation = policy.start(text), None
    shown = [corpus.at(row) for row in range(0, 1000, 100)]
    for used in range(51):
        action = policy.act(state, observation, 50 - used)
        if isinstance(action, Answer): break
        if isinstance(action, SearchCall):
            assert action.query.strip()
            observation = Results(tuple(Result(d.docid, d.title, d.text[:200]) for d in shown), "")
        else:
            assert isinstance(action, BrowseCall) and action.docid in {d.docid for d in shown}
            observation = Page(action.docid, corpus[action.docid].title, corpus[action.docid].text, "")
    assert isinstance(action, Answer) and used <= 2 * PERSONAS[name].searches

def test_the_answer_given_with_the_question_is_never_used():
    assert "answer" not in read_question.__code__.co_varnames and ScriptedPolicy.start.__code__.co_varnames[1] == "question"

def test_reasoning_grows_with_what_was_found_and_hops_reach_the_next_search():
    rarity = Rarity(1000, {})
    policy = ScriptedPolicy("patient", rarity)
    state = policy.start("It is an iron lattice tower. Erected by X for a world exhibition. "
                         "X is an engineer, builder of viaducts. What is it?")
    assert "X" not in policy.act(state, None, 50).query.split()
    hop = Result("2", "Gustave Eiffel", "Gustave Eiffel was an engineer and builder of viaducts.")
    assert policy.act(state, Results((hop,), ""), 49).docid == "2"
    after = policy.act(state, Page("2", hop.title, hop.snippet, ""), 48)
    assert isinstance(after, SearchCall) and "Gustave Eiffel" in after.query and after.reasoning.startswith(HELPS)
    target = Result("1", "Eiffel Tower", "The Eiffel Tower is an iron lattice tower, erected by Gustave Eiffel for a world "
                    "exhibition.")
    assert policy.act(state, Results((hop, target), ""), 47).docid == "1"
    last = policy.act(state, Page("1", target.title, target.snippet, ""), 46)
    assert last.reasoning.startswith(HELPS) and isinstance(last, Answer) and last.text == "Eiffel Tower"
    poor = policy.start(state.question)
    policy.act(poor, None, 50), policy.act(poor, Results((Result("3", "Iron", "Iron lattice tower exhibition"),), ""), 49)
    rejected = policy.act(poor, Page("3", "Iron", "Iron is a metal.", ""), 48)
    assert rejected.reasoning.startswith(HELPS_NOT) and len(rejected.reasoning) < len(last.reasoning)

def test_hasty_spends_less_than_patient():
    hasty, patient = PERSONAS["hasty"], PERSONAS["patient"]
    assert hasty.searches < patient.searches and hasty.sure_above < patient.sure_above and not hasty.checks_hops
