"Questions of models that go their own way: none waits for another, none is lost, and nothing is left running"
import asyncio, gc, threading, time
import pytest
from lrat.agents.loop import run_agents
from lrat.agents.actions import Answer, BrowseCall, Budget, Malformed, SearchCall
from lrat.llm.http import ModelFailure, background, wait_for
from lrat.data.questions import Question
from lrat.core.settings import LratError
from small_agents import QUESTIONS, Patient, Plain, Words, first_words

BUDGET = Budget(rounds=6, k=3)

def run(policy, questions=QUESTIONS, retriever=None, budget=BUDGET, **options):
    return run_agents(questions, retriever or Words(), policy, budget, first_words, **options)

class Free(Patient):
    "Decides at once, unless `before` waits"
    def __init__(self, concurrency=64): self.concurrency = concurrency
    async def before(self, question): pass
    async def act(self, state, observation, remaining):
        await self.before(state)
        return self.decide(state, observation)

def idle():
    "Wait until nothing is left on the background's loop; what is left after that"
    async def others(): return [t for t in asyncio.all_tasks() if t is not asyncio.current_task() and not t.done()]
    until = time.monotonic() + 10
    while (left := wait_for(others())) and time.monotonic() < until: time.sleep(.01)
    return left

@pytest.mark.parametrize("size", [1, 3, 64])
def test_the_runs_are_those_of_the_same_policy_in_step(size):
    class Threads(Plain): concurrency = min(size, 8)
    by_id = lambda runs: sorted(((r.query_id, r.status, r.steps, r.tool_call_counts, r.retrieved_docids) for r in runs), key=lambda r: r[0])
    inside = by_id(run(Plain()))
    assert by_id(run(Free(size), batch_size=size)) == inside and len(inside) == 40
    assert by_id(run(Threads(), batch_size=size)) == inside

def test_a_slow_question_holds_up_no_other():
    ended = []
    class OneWaits(Free):
        async def before(self, question):
            while question == QUESTIONS[0].text and len(ended) < 39: await asyncio.sleep(.001) # For all others, those not begun included
    for one in run(OneWaits(8), batch_size=8): ended.append(one.query_id)
    assert ended[-1] == "q00" and len(ended) == 40

def test_searches_are_gathered_while_the_retriever_is_busy_and_the_loop_goes_on():
    going = threading.Event()
    class Busy(Words):
        def search_batch(self, queries, k):
            if not self.batches: # The first search takes until the loop has shown that it is alive
                background().loop.call_soon_threadsafe(going.set)
                assert going.wait(10)
            return super().search_batch(queries, k)
    class Staggered(Free):
        async def before(self, question): await asyncio.sleep(0 if question == QUESTIONS[0].text else .001)
    retriever = Busy()
    assert len(list(run(Staggered(), retriever=retriever))) == 40
    assert sum(retriever.batches) == 40 and len(retriever.batches) < 40

def test_the_retriever_is_asked_by_one_thread_at_a_time():
    inside, most = [], []
    class Counting(Words):
        def search_batch(self, queries, k): return self.alone(super().search_batch, queries, k)
        def document(self, docid): return self.alone(super().document, docid)
        def alone(self, do, *given):
            inside.append(threading.get_ident())
            most.append(len(inside))
            try: return do(*given)
            finally: inside.pop()
    list(run(Free(), retriever=Counting()))
    assert max(most) == 1

def test_only_so_many_questions_are_live_and_untaken_runs_count():
    started = []
    class Counting(Free):
        def start(self, question):
            started.append(question)
            return question
    def endless():
        for n in range(10**9): yield Question(f"q{n}", QUESTIONS[n % 40].text)
    runs = run(Counting(8), questions=endless(), batch_size=8)
    for taken in range(1, 31):
        next(runs)
        time.sleep(.002)
        assert len(started) <= taken + 8*2 + 1 # Live ones, and ended ones that nobody has taken yet
    runs.close()
    assert not idle()

def test_requests_at_once_are_bounded():
    live, most = [0], [0]
    class Counting(Free):
        async def before(self, question):
            live[0] += 1
            most[0] = max(most[0], live[0])
            await asyncio.sleep(.002)
            live[0] -= 1
    list(run(Counting(5), batch_size=20))
    assert most[0] == 5

def test_a_deadline_fails_one_question():
    class Stuck(Free):
        async def before(self, question):
            if " 7 " in question: await asyncio.sleep(60)
    runs = {one.query_id: one for one in run(Stuck(), deadline=1)}
    assert runs.pop("q07").status == "failed: no answer within 1 seconds"
    assert len(runs) == 39 and {one.status for one in runs.values()} == {"completed"}

@pytest.mark.parametrize("error", [ZeroDivisionError("a defect"), LratError("wrong key"), TimeoutError("of the policy's own")])
def test_what_is_no_model_failure_stops_the_program_after_what_has_ended(error):
    ended, late = [], QUESTIONS[0].text
    class Failing(Free):
        async def before(self, question):
            while question == late and len(ended) < 20: await asyncio.sleep(.001)
            if question == late: raise error
    with pytest.raises(type(error), match=str(error)):
        for one in run(Failing(8), batch_size=8, deadline=60): ended.append(one)
    assert len(ended) >= 20 and {one.status for one in ended} == {"completed"}
    assert not idle()

@pytest.mark.parametrize("policy", [Free(8), Plain()])
@pytest.mark.parametrize("error", [OSError("cannot read that"), LratError("more than 1,024 words"), RuntimeError("java.lang.Exception:\n at line 1")])
def test_a_query_that_the_retriever_cannot_search_is_told_to_its_agent_and_ends_no_other_question(policy, error):
    class Choosy(Words):
        def search_batch(self, queries, k):
            if any(" 7 " in query for query in queries): raise error
            return super().search_batch(queries, k)
    class Stubborn(type(policy)):
        def decide(self, state, observation): return Answer("none") if observation and not hasattr(observation, "results") and not hasattr(observation, "content") else super().decide(state, observation)
    stubborn = Stubborn(8) if isinstance(policy, Free) else Stubborn()
    runs = {one.query_id: one for one in run(stubborn, retriever=Choosy(), batch_size=8)}
    refused = runs.pop("q07")
    assert (refused.status, refused.tool_call_counts["search"], refused.tool_call_counts_all["search"]) == ("completed", 0, 1)
    told = next(step.output for step in refused.steps if step.tool_name)
    assert told.startswith(f"Error: the search failed ({type(error).__name__}: ") and "\n" not in told
    assert len(runs) == 39 and {one.status for one in runs.values()} == {"completed"}

@pytest.mark.parametrize("policy", [Free(8), Plain()])
def test_a_retriever_that_is_gone_is_an_outage_and_no_agents_mistake(policy):
    class Gone(Words):
        calls = 0
        def search_batch(self, queries, k):
            self.calls += 1
            if self.calls > 3: raise OSError("index is gone")
            return super().search_batch(queries, k)
    runs = list(run(policy, retriever=Gone(), batch_size=4))
    assert len(runs) == 40 and {one.status for one in runs} <= {"completed", "failed: the retriever failed (OSError: index is gone)"}
    assert sum(one.status.startswith("failed") for one in runs) > 20

def test_a_document_that_cannot_be_read_ends_one_question():
    class Torn(Words):
        def document(self, docid):
            if docid == "d07" and self.batches[-1:] == ["opened"]: raise OSError("bad sector")
            return super().document(docid)
    class Opens(Patient):
        def decide(self, state, observation):
            if hasattr(observation, "results"): torn.batches.append("opened")
            return super().decide(state, observation)
    torn = Torn()
    runs = [one.status for one in run(Opens(), QUESTIONS[7:8], torn)] + [one.status for one in run(Opens(), QUESTIONS[8:9], torn)]
    assert runs == ["failed: the retriever failed (OSError: bad sector)", "completed"]

def test_a_reader_that_stops_early_leaves_nothing_running():
    class Slow(Free):
        async def before(self, question): await asyncio.sleep(0 if question == QUESTIONS[0].text else 60)
    threads = threading.active_count()
    assert next(run(Slow())).query_id == "q00" # The rest is dropped here
    gc.collect()
    assert not idle() and threading.active_count() <= threads + 1

def test_a_question_that_cannot_be_read_stops_the_program():
    def broken():
        yield QUESTIONS[0]
        raise LratError("questions.tsv:2: has one column")
    with pytest.raises(LratError, match="questions.tsv:2"): list(run(Free(), questions=broken()))
    assert not idle()

class Scripted(Patient):
    "Goes through a list of actions, then answers"
    def __init__(self, *actions): self.actions = actions
    def start(self, question): return iter(self.actions)
    async def act(self, state, observation, remaining):
        action = next(state, Answer("done"))
        if isinstance(action, Exception): raise action
        return action

def test_what_models_get_wrong_is_refused_and_recorded():
    long = "x"*1_000_000
    one, = run(Scripted(BrowseCall("d00"), SearchCall(" "), SearchCall(long), Malformed("google", long, "there is no tool 'google'"), SearchCall("river 1")), QUESTIONS[:1])
    refused = [step for step in one.steps if step.tool_name and step.output.startswith("Error:")]
    assert [step.output[:50] for step in refused] == ["Error: no search of yours returned a document 'd00", "Error: the query is empty; write one.",
                                                       "Error: the query has 1000000 characters; write a s", "Error: there is no tool 'google'"]
    assert one.tool_call_counts["search"] == 1 and one.tool_call_counts_all["search"] == 3 and one.status == "completed"

def test_half_characters_reach_neither_retriever_nor_file(tmp_path):
    from lrat.trajectories.trajectory import read_trajectory, write_trajectory
    seen = []
    class Strict(Words):
        def search_batch(self, queries, k):
            seen.extend(query.encode() for query in queries)
            return super().search_batch(queries, k)
    one, = run(Scripted(SearchCall("river \ud83d", "\udc00 thought"), Malformed("\ud83d", "\ud83d", "what is \ud83d?"), Answer("Oslo \udfff")), QUESTIONS[:1], Strict())
    write_trajectory(tmp_path, one)
    assert read_trajectory(tmp_path/"run_q00.json").final_answer == "Oslo ?" and seen == [b"river ?"]

def test_a_failure_in_the_middle_keeps_the_steps():
    one, = run(Scripted(SearchCall("river 1"), ModelFailure("status 500: out of memory (5 attempts)")), QUESTIONS[:1])
    assert one.status == "failed: status 500: out of memory (5 attempts)" and one.tool_call_counts["search"] == 1 and one.final_answer is None
