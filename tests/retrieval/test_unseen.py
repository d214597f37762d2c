"Searches that do not repeat: in the environment, in collections and on servers, with the same meaning"
import asyncio
import httpx, pytest
from lrat.agents.actions import Answer, Budget, SearchCall
from lrat.agents.collect import collect
from lrat.core.settings import LratError
from lrat.retrieval.retriever import Hit
from lrat.retrieval.unseen import HIDE_DEPTH, search_unseen
from lrat.serving.http import http_application
from lrat.serving.recording import SessionKey, SessionRecorder
from lrat.serving.service import Caller, Service
from lrat.trajectories.trajectory import read_trajectory
from small_agents import QUESTIONS, Plain, Words, first_words


class Again(Plain):
    "Asks the same thing until its calls are spent"
    name = "again"
    def act(self, state, observation, remaining): return SearchCall(state) if remaining else Answer("none")


def run(tmp_path, policy, name, **budget):
    collect(QUESTIONS[:3], Words(), policy, tmp_path/name, Budget(rounds=5, k=4, **budget), first_words)
    return read_trajectory(tmp_path/name/"run_q01.json")


def test_a_trajectory_is_never_shown_a_document_twice_and_says_how_many_were_hidden(tmp_path):
    found = run(tmp_path, Again(), "hidden", hide_seen=True)
    lists = [search.docids for search in found.searches()]
    assert [len(docids) for docids in lists] == [4] * 5 and len(set().union(*lists)) == 20
    ranking = [hit.docid for hit in Words().search(QUESTIONS[1].text, 40)]
    assert [docid for docids in lists for docid in docids] == ranking[:20]
    assert found.metadata["hide_seen"] is True and found.metadata["hidden_results"] == [0, 4, 8, 12, 16]
    assert "found 4 results (16 that earlier searches showed are left out):" in found.steps[-2].output


def test_without_it_the_bytes_are_as_before_and_a_folder_holds_one_of_the_two(tmp_path):
    plain = run(tmp_path, Again(), "plain")
    assert "hide_seen" not in plain.metadata and "hidden_results" not in plain.metadata and "left out" not in plain.steps[-2].output
    assert len({search.docids for search in plain.searches()}) == 1
    with pytest.raises(LratError, match="was made with hide_seen = None, but now hide_seen = True"): run(tmp_path, Again(), "plain", hide_seen=True)
    again = run(tmp_path, Again(), "hidden", hide_seen=True)
    assert run(tmp_path, Again(), "hidden", hide_seen=True) == again  # Other counts of hidden documents are no other settings


@pytest.mark.parametrize("size", [0, 3, 30, 150])
def test_the_depth_has_a_limit_and_ties_keep_their_order(size):
    "All scores are equal, so the order is that of the docids"
    documents, asked = [f"d{n:03}" for n in range(size)], []
    def search_batch(queries, k):
        asked.append(k)
        return [[Hit(docid, 1.) for docid in documents[:k]] for _ in queries]
    found, = search_unseen(search_batch, ["q"], [set(documents[:size - 2])], 10)
    left = [docid for docid in documents[max(0, size - 2):] if docid in documents[:HIDE_DEPTH]]
    assert [hit.docid for hit in found.hits] == left and found.hidden == min(max(size - 2, 0), HIDE_DEPTH)
    assert max(asked) <= HIDE_DEPTH and len(asked) <= 5


def service(folder=None):
    made = Service(Words(), k=4, recorder=SessionRecorder(folder, {"hide_seen": True}) if folder else None, hide_seen=True)
    made.snippet = made.page = lambda text: first_words(text, 3)
    return made


def test_a_server_hides_by_session_in_the_order_asked_and_records_the_counts(tmp_path):
    async def talk():
        made = service(tmp_path)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(http_application(made, {})), base_url="http://localhost") as client:
            async def retrieve(**body): return (await client.post("/retrieve", json={"topk": 2, **body})).json()
            both = await retrieve(queries=["3 mills"] * 4, session=["a", "a", "b", "a"])
            await client.post("/finish", json={"session": "a", "answer": "Town 03"})
            anew = await retrieve(queries=["3 mills"], session="a")
            unnamed = await retrieve(queries=["3 mills"])
        made.close()
        return both, anew, unnamed
    both, anew, unnamed = asyncio.run(talk())
    ids = [[row["id"] for row in rows] for rows in both["result"]]
    assert ids[0] + ids[1] + ids[3] == [hit.docid for hit in Words().search("3 mills", 6)] and ids[2] == ids[0]
    assert both["hidden"] == [0, 2, 0, 4] and (anew["result"], anew["hidden"]) == (both["result"][:1], [0])
    assert unnamed["result"] == [[]] and "name it in the field session" in unnamed["refused"][0]["error"]
    assert read_trajectory(tmp_path/"run_a.json").metadata["hidden_results"] == [0, 2, 4]


def test_without_the_option_an_answer_has_no_new_field(tmp_path):
    async def talk():
        made = Service(Words(), k=4)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(http_application(made, {})), base_url="http://localhost") as client:
            answer = (await client.post("/retrieve", json={"queries": ["3 mills"] * 2, "session": "a"})).json()
        made.close()
        return answer
    answer = asyncio.run(talk())
    assert set(answer) == {"result"} and answer["result"][0] == answer["result"][1]


def test_mcp_says_how_many_are_left_out():
    from lrat.serving.mcp import _search
    async def talk():
        made = service()
        texts = [(await _search(made, Caller(SessionKey("named", "a")), "3 mills", 4))[0] for _ in range(2)]
        made.close()
        return texts
    first, second = asyncio.run(talk())
    assert "left out" not in first and "found 4 results (4 that earlier searches showed are left out):" in second


def test_a_refused_search_hides_nothing():
    class Faulty(Words):
        def search_batch(self, queries, k):
            if "fault" in queries: raise ValueError("a fault")
            return super().search_batch(queries, k)
    async def talk():
        made = service()
        made.retriever = Faulty()
        caller = Caller(SessionKey("named", "a"))
        with pytest.raises(ValueError): await made.search_for(caller, "fault", 2)
        found = await made.search_for(caller, "3 mills", 2)
        made.close()
        return found
    found, hidden = asyncio.run(talk())
    assert (len(found), hidden) == (2, 0)
