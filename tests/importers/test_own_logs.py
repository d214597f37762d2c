"A log alone is enough: its tools are guessed and shown, its documents become a corpus, and its ids join an own corpus."
import json

import pytest
from paths import SHARED
from small_logs import LOGS, chat, small, views

from lrat.core.files import read_json, read_jsonl, write_jsonl
from lrat.core.settings import InputError, LratError
from lrat.data.corpus import open_corpus
from lrat.importers.command import import_command, import_trajectories
from lrat.importers.guess import GuessedTools, guess_tool, look_at_tools
from lrat.importers.tools import TOOLS, Tool, read_tools
from lrat.judging.command import judge_command
from lrat.mining.mine import mine_to_file
from lrat.trajectories.trajectory import Step, Trajectory, iterate_trajectories, read_trajectory

CASES = SHARED/"cases"
PAGES = [{"url": "https://a.example/lund/?utm_source=x", "title": "Lund", "snippet": "Lund is a city."},
         {"url": "https://a.example/uppsala", "title": "Uppsala", "snippet": "Uppsala is a city in Sweden."}]


def session(name, *turns, answer="Uppsala."):
    messages = [{"role": "user", "content": "Which city has the oldest university?"}]
    for n, (tool, arguments, output) in enumerate(turns):
        messages += [{"role": "assistant", "content": None, "tool_calls": [{"id": f"c{n}", "type": "function", "function": {"name": tool, "arguments": json.dumps(arguments)}}]},
                     {"role": "tool", "tool_call_id": f"c{n}", "content": output if isinstance(output, str) else json.dumps(output)}]
    return {"id": name, "messages": [*messages, {"role": "assistant", "content": answer}]}


SEARCH, OPEN = ("web", {"q": "oldest university"}, PAGES), ("open_it", {"where": "https://a.example/uppsala#top"}, "Uppsala. Its university was founded in 1477.")


def written(folder, *sessions):
    write_jsonl(folder/"log.jsonl", sessions)
    return folder/"log.jsonl"


def corpus_of(path): return {row["docid"]: row for _, row in read_jsonl(path)}


# The corpus

def test_a_log_of_web_searches_becomes_pairs_without_a_corpus_of_ones_own(tmp_path, capsys):
    log = written(tmp_path, session("s1", SEARCH, OPEN), session("s2", ("web", {"q": "lund"}, [PAGES[0] | {"snippet": "Lund is a city in Sweden."}])))
    import_command(str(log), str(tmp_path/"runs"), corpus=str(tmp_path/"corpus.jsonl"))
    said = capsys.readouterr().out
    assert "corpus.jsonl: 2 documents, 1 of them with the text of an opened page, the others with a snippet; 0 were shown without" in said
    rows = corpus_of(tmp_path/"corpus.jsonl")
    assert list(rows.values()) == [
        {"docid": "https://a.example/lund", "text": "Lund\nLund is a city in Sweden.", "title": "Lund", "url": PAGES[0]["url"], "source": "snippet", "seen": 2},
        {"docid": "https://a.example/uppsala", "text": "Uppsala\nUppsala. Its university was founded in 1477.", "title": "Uppsala", "url": PAGES[1]["url"],
         "source": "opened", "seen": 2}]
    judge_command(str(tmp_path/"runs"), judge="accept-all", out=str(tmp_path/"verdicts.jsonl"))
    mine_to_file([tmp_path/"runs"], open_corpus(tmp_path/"corpus.jsonl"), [tmp_path/"verdicts.jsonl"], "recommended", "all-MiniLM-L6-v2", tmp_path/"pairs.jsonl",
                 changes={"empty": "one"})
    (_, pair), = read_jsonl(tmp_path/"pairs.jsonl")
    assert (pair["query"], pair["pos"], pair["neg"]) == ("oldest university", [rows[d]["text"] for d in pair["pos_id"]], [rows[d]["text"] for d in pair["neg_id"]])
    assert pair["pos_id"] == ["https://a.example/uppsala"] and pair["neg_id"] == ["https://a.example/lund"]


@pytest.mark.parametrize("name", LOGS)
def test_every_form_gives_the_same_corpus(name, tmp_path):
    form, logged = LOGS[name]
    write_jsonl(tmp_path/"log.jsonl", logged(small()))
    manifest = import_trajectories(tmp_path/"log.jsonl", tmp_path/"runs", form, corpus=tmp_path/"corpus.jsonl")
    assert {docid: (row["text"], row["source"], row["seen"]) for docid, row in corpus_of(tmp_path/"corpus.jsonl").items()} == {
        "7": ("Owl\nAn owl.", "opened", 2), "9": ("Oak\nAn oak.", "opened", 3)}
    assert manifest["documents"] == {"written": 2, "opened": 2, "without_text": 0} == read_json(tmp_path/"runs"/"import.manifest.json")["documents"]


@pytest.mark.parametrize("output,texts", [
    ("1. Lund\nURL: https://a.example/lund\nA city.\n\nOld.\n\n2. Uppsala\nURL: https://a.example/uppsala\nA town.", ("Lund\nA city.\n\nOld.", "Uppsala\nA town.")),
    ("1. [Lund](https://a.example/lund)\nA city.\n2. [Uppsala](https://a.example/uppsala)\nA town.", ("Lund\nA city.", "Uppsala\nA town.")),
    ("Title: Lund\nURL: https://a.example/lund\nContent: A city.\n---\nTitle: Uppsala\nURL: https://a.example/uppsala\nContent: A town.", ("Lund\nA city.", "Uppsala\nA town.")),
    ({"organic": [{"link": "https://a.example/lund", "title": "Lund", "snippet": "A city."}, {"link": "https://a.example/uppsala", "title": "Uppsala", "snippet": "A town."}]},
     ("Lund\nA city.", "Uppsala\nA town.")),
    ([{"page_content": "A city.", "metadata": {"source": "https://a.example/lund", "title": "Lund"}}, {"page_content": "A town.", "metadata": {"source": "https://a.example/uppsala"}}],
     ("Lund\nA city.", "A town.")),
    ([{"url": "https://a.example/lund", "text": "A city."}, {"url": "https://a.example/lund", "text": "Old."}, {"url": "https://a.example/uppsala", "title": "Uppsala"}],
     ("A city.\nOld.", "Uppsala"))])
def test_snippets_of_any_look(output, texts, tmp_path):
    import_trajectories(written(tmp_path, session("s1", ("web", {"q": "old city"}, output))), tmp_path/"runs", corpus=tmp_path/"corpus.jsonl")
    assert tuple(corpus_of(tmp_path/"corpus.jsonl")[f"https://a.example/{name}"]["text"] for name in ("lund", "uppsala")) == texts


@pytest.mark.parametrize("page,text", [("Error 404: page not found", "Uppsala\nUppsala is a city in Sweden."), ("", "Uppsala\nUppsala is a city in Sweden."),
                                       ({"title": "Uppsala", "markdown": "The town."}, "Uppsala\nThe town."), ("Uppsala\nThe town.", "Uppsala\nThe town.")])
def test_the_text_of_a_page_and_pages_that_failed(page, text, tmp_path):
    import_trajectories(written(tmp_path, session("s1", SEARCH, (*OPEN[:2], page))), tmp_path/"runs", corpus=tmp_path/"corpus.jsonl")
    assert corpus_of(tmp_path/"corpus.jsonl")["https://a.example/uppsala"]["text"] == text


def test_several_pages_of_one_call_and_file_names_with_spaces(tmp_path):
    listed = [{"source": "old towns.pdf", "text": "Towns."}, {"source": "b.pdf", "text": "B."}]
    both = "## old towns.pdf\n\nAll of the towns.\n\n## b.pdf\n\nAll of B."
    log = written(tmp_path, session("s1", ("search", {"query": "towns"}, listed), ("visit", {"docid": ["old towns.pdf", "b.pdf"]}, both)))
    import_trajectories(log, tmp_path/"runs", corpus=tmp_path/"corpus.jsonl")
    run, = iterate_trajectories(tmp_path/"runs")
    assert [(b.docid, b.search.query) for b in run.browses()] == [("old%20towns.pdf", "towns"), ("b.pdf", "towns")]
    corpus = open_corpus(tmp_path/"corpus.jsonl")
    assert "All of the towns." in corpus["old%20towns.pdf"].text and "All of B." in corpus["b.pdf"].text and "towns." not in corpus["b.pdf"].text


def test_a_corpus_is_the_same_again_and_never_replaces_one_of_ones_own(tmp_path):
    log, target = written(tmp_path, session("s1", SEARCH, OPEN)), tmp_path/"corpus.jsonl"
    import_trajectories(log, tmp_path/"runs", corpus=target)
    before = target.read_bytes()
    import_trajectories(log, tmp_path/"again", corpus=target)
    assert target.read_bytes() == before
    write_jsonl(tmp_path/"own.jsonl", [{"docid": "1", "text": "My own"}])
    with pytest.raises(InputError, match="own.jsonl: is there and was not made by lrat import; name another file"):
        import_trajectories(log, tmp_path/"third", corpus=tmp_path/"own.jsonl")
    assert not (tmp_path/"third").exists()
    with pytest.raises(LratError, match="cannot be made, since the log shows no text of any document"):
        import_trajectories(written(tmp_path, session("s1", ("web", {"q": "old city"}, [{"url": "https://a.example/lund"}]))), tmp_path/"bare", corpus=tmp_path/"none.jsonl")
    assert not (tmp_path/"none.jsonl").exists() and (tmp_path/"bare"/"run_s1.json").is_file()


# The tools

@pytest.mark.parametrize("turns,kinds", [
    ((SEARCH, OPEN), {"web": "search", "open_it": "browse"}),
    ((("kb__lookup", {"question": "old city"}, "DocID:7\n[Lund]\n\nDocID:9"), ("kb__fetch", {"key": "9"}, "Uppsala")), {"kb__lookup": "search", "kb__fetch": "browse"}),
    ((("browser.search", {"query": "old city"}, "[0] Results\n# 【0†Lund†a.example/lund】\n# 【1†Uppsala†a.example/uppsala】"), ("browser.open", {"id": 1}, "[1] Uppsala"),
      ("browser.find", {"pattern": "1477", "cursor": 1}, "[1] 1477")), {"browser.search": "search", "browser.open": "browse", "browser.find": "other"}),
    ((SEARCH, ("python", {"code": "print(1 + 1)"}, "2"), ("query_database", {"sql": "select id from t"}, [{"id": 1}, {"id": 2}]), ("think", {"text": "It is old, I think."}, "ok")),
     {"web": "search", "python": "other", "query_database": "other", "think": "other"}),
    ((("search_code", {"query": "def main"}, [{"id": "a.py", "text": "def main"}]), ("google", {"query": "old city"}, "No results found.")), {"search_code": "other", "google": "search"}),
    ((("fetch_page", {"url": "https://a.example/lund"}, "Lund"), ("tavily_search", {"query": "old city", "max_results": 5}, {"results": PAGES})),
     {"fetch_page": "browse", "tavily_search": "search"}),
    ((("search", {"keywords": "old city"}, [*PAGES]),), {"search": "search"})])
def test_what_a_tool_does_is_guessed(turns, kinds, tmp_path):
    manifest = import_trajectories(written(tmp_path, session("s1", *turns)), tmp_path/"runs", "chat")
    assert manifest["tools"] == kinds
    run, = iterate_trajectories(tmp_path/"runs")
    assert all(search.query in ("oldest university", "old city") for search in run.searches()) and run.searches()


def test_the_table_is_shown_and_the_user_has_the_last_word(tmp_path, capsys):
    log = written(tmp_path, session("s1", SEARCH, OPEN), session("s2", SEARCH))
    import_command(str(log), str(tmp_path/"runs"), "chat")
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in said[1:4]] == [["tool", "calls", "taken"], ["web", "2", "search"], ["open_it", "1", "browse"]]
    assert "q holds words, and it returns lists of documents" in said[2] and said[2].endswith('{"q": "oldest university"} -> 2 documents, the first https://a.example/lund')
    import_command(str(log), str(tmp_path/"mapped"), "chat", ["web=search:q", "open_it=other"])
    assert [line.split()[:3] for line in capsys.readouterr().out.splitlines()[2:4]] == [["web", "2", "search"], ["open_it", "1", "other"]]
    assert read_trajectory(tmp_path/"mapped"/"run_s1.json").browses() == []
    import_command(str(written(tmp_path, *chat(small()))), str(tmp_path/"known"), "chat")
    assert "taken for" not in capsys.readouterr().out # Nothing had to be guessed


def test_a_dry_run_shows_three_trajectories_and_writes_nothing(tmp_path, capsys):
    log = written(tmp_path, *(session(f"s{n}", SEARCH, OPEN, answer=f"Answer {n}") for n in range(5)))
    import_command(str(log), dry_run=True)
    said = capsys.readouterr().out
    assert said.startswith("chat messages (chat)\n\ntool ") and [f"Answer {n}" in said for n in range(5)] == [True] * 3 + [False] * 2
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]
    with pytest.raises(LratError, match="the following arguments are required: --out; or give --dry_run"): import_command(str(log))


@pytest.mark.parametrize("count", [1, 250]) # More sessions than are looked at for a guess
def test_a_name_that_the_log_does_not_have_is_refused_with_the_nearest(count, tmp_path, monkeypatch):
    log = written(tmp_path, *(session(f"s{n}", SEARCH) for n in range(count)), session("last", SEARCH, ("open_later", {"u": PAGES[1]["url"]}, "Uppsala")))
    with pytest.raises(InputError, match=r"log.jsonl: has no tool 'open_latre', which --tools names; did you mean 'open_later'\?; its tools are: open_later, web"):
        import_trajectories(log, tmp_path/"runs", "chat", read_tools(["web=search:q", "open_latre=browse"]))
    with pytest.raises(InputError, match="no result of a search has the field 'metadata.id', which --docid names; they have: snippet, title, url"):
        import_trajectories(log, tmp_path/"runs", "chat", docid="metadata.id")
    assert not (tmp_path/"runs").exists()
    manifest = import_trajectories(log, tmp_path/"runs", "chat", read_tools(["open_later=browse:u"]))
    assert manifest["browses"] == 1 and manifest["runs"] == count + 1


@pytest.mark.parametrize("words,says", [(["web=find"], "--tools web=find: kind is 'find'; choose one of"), (["web=search", "open"], "--tools open: is neither NAME=KIND nor a file"),
                                        (["none.yaml"], "--tools none.yaml: there is no such file"), (["web=other:q"], "has an unknown field 'query'")])
def test_words_that_say_nothing_are_one_line(words, says):
    with pytest.raises(InputError) as caught: read_tools(words)
    assert says in str(caught.value) and "\n" not in str(caught.value)


# Ids of an own corpus

OWN = [{"url": "https://a.example/lund", "metadata": {"id": "k7", "text": "Lund"}}, {"url": "https://a.example/uppsala", "metadata": {"id": "k9"}}, {"url": "https://a.example/x"}]


@pytest.mark.parametrize("docid,output,docids", [
    ("metadata.id", OWN, ["k7", "k9"]), ("url", OWN, [row["url"] for row in OWN]), ("metadata.id", {"hits": {"hits": OWN}}, ["k7", "k9"]),
    ("source", "1. Lund\nID: 1\nSource: lund.txt\n\n2. Uppsala\nID: 2\nSource: old town.txt", ["lund.txt", "old%20town.txt"])])
def test_the_field_that_joins_an_own_corpus(docid, output, docids, tmp_path):
    opened = OWN[1]["url"] if docid == "metadata.id" else docids[1]
    log = written(tmp_path, session("s1", ("web", {"q": "old city"}, output), ("open_it", {"at": opened}, "Uppsala")))
    manifest = import_trajectories(log, tmp_path/"runs", "chat", docid=docid)
    run, = iterate_trajectories(tmp_path/"runs")
    assert [list(search.docids) for search in run.searches()] == [docids] and [browse.docid for browse in run.browses()] == [docids[1]]
    assert manifest["notes"].get("a result without a docid", {"count": 0})["count"] == (docid == "metadata.id")


# Again

def test_the_same_import_again_adds_what_is_new_and_says_so(tmp_path, capsys):
    log = written(tmp_path, session("s1", SEARCH, OPEN), session("s2", SEARCH))
    import_command(str(log), str(tmp_path/"runs"), "chat")
    assert "are new" not in capsys.readouterr().out
    with open(log, "a") as file: file.write(json.dumps(session("s3", SEARCH)) + "\n")
    times = {path.name: path.stat().st_mtime_ns for path in (tmp_path/"runs").glob("run_*")}
    import_command(str(log), str(tmp_path/"runs"), "chat")
    assert "of these 1 are new, 0 went on since the last import, and 2 were there already" in capsys.readouterr().out
    assert {name: (tmp_path/"runs"/name).stat().st_mtime_ns for name in times} == times and (tmp_path/"runs"/"run_s3.json").is_file()


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not beside this checkout")
@pytest.mark.parametrize("case,tools,pair", [
    ("logs_06_claude_code_session/session.jsonl", True, ("oldest university Scandinavia", "9", ["7"])), ("logs_06_claude_code_session/session.jsonl", False, ("oldest university Scandinavia", "9", ["7"])),
    ("logs_09_results_without_docids/log.jsonl", False, ("oldest university Scandinavia", "https://a.example/uppsala", ["https://a.example/lund"])),
    ("logs_17_opens_by_number/log.jsonl", True, ("oldest university Scandinavia", "a.example/uppsala", ["a.example/lund"])),
    ("logs_17_opens_by_number/log.jsonl", False, ("oldest university Scandinavia", "a.example/uppsala", ["a.example/lund"]))])
def test_cases_from_import_to_a_pair(case, tools, pair, tmp_path):
    import_trajectories(CASES/case, tmp_path/"runs", None, read_tools(CASES/case.partition("/")[0]/"tools.yaml") if tools else TOOLS, corpus=tmp_path/"corpus.jsonl")
    mine_to_file([tmp_path/"runs"], open_corpus(tmp_path/"corpus.jsonl"), [], "naive", "all-MiniLM-L6-v2", tmp_path/"pairs.jsonl")
    (_, row), = read_jsonl(tmp_path/"pairs.jsonl")
    assert (row["query"], *row["pos_id"], row["neg_id"]) == pair
