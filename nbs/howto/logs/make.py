"""Make a log of this folder again, with the software that writes such logs.

    python make.py openai_agents_run.py PYTHON      # PYTHON: an interpreter of an environment that has the software

The model is a script behind a real endpoint, and the two tools search the museum and open a document. Each script reads
OPENAI_BASE_URL, OPENAI_API_KEY and LIBRARY_URL, runs its agent on the questions of `questions.json`, and writes a file of its name.
"""
import itertools, json, os, re, subprocess, sys, tempfile
from dataclasses import replace
from pathlib import Path

from lrat.agents.scripted import ScriptedPolicy, word_rarity
from lrat.data.corpus import open_corpus
from lrat.testing.museum import QUESTIONS, write_museum
from lrat.testing.retriever import WordRetriever
from lrat.testing.scripted_models import ScriptedModel, Said, agent_script, as_stream, reply_to
from lrat.testing.server import stand_in
from lrat.trajectories.rendering import format_document, format_results
from lrat.agents.actions import Result

HERE, ASKED = Path(__file__).resolve().parent, ("q1", "q2", "q4")
FIELDS = frozenset("conversation prompt prompt_cache_key prompt_cache_retention safety_identifier service_tier extra_headers background "
                   "max_tool_calls top_logprobs verbosity context_management parallel_tool_calls".split())


def library(body):
    "The two tools: {query} searches, {docid} opens, {query, rows} gives a list of objects"
    retriever = WordRetriever()
    if "query" in body:
        found = [retriever.document(hit.docid) for hit in retriever.search(body["query"], 4)]
        if body.get("rows"): return {"rows": [{"id": d.docid, "title": d.title, "snippet": d.text.partition("\n")[2]} for d in found]}
        return {"text": format_results([Result(d.docid, d.title, d.text.partition("\n")[2]) for d in found], body["query"])}
    document = retriever.documents.get(body["docid"])
    return {"text": format_document(document.docid, document.text) if document else f"There is no document {body['docid']!r}."}


def with_new_ids(value, number):
    "A reply with ids of its own, as servers give them"
    if isinstance(value, list): return [with_new_ids(one, number) for one in value]
    if not isinstance(value, dict): return value
    return {name: f"{re.sub(r'_?[0-9]+$', '', one) or 'chat'}_{number:03}{index(one)}" if name in ("id", "call_id") and isinstance(one, str) else with_new_ids(one, number)
            for name, one in value.items()}


def as_text(message):
    "A result that is JSON, or that smolagents sends as an observation of the user, in the form that the script reads"
    text = message.get("content")
    if message.get("role") == "user" and isinstance(text, list): text = "".join(part.get("text", "") for part in text)
    if message.get("role") == "user" and str(text).startswith("Observation:"): return {"role": "tool", "content": text.partition("\n")[2].strip()}
    try: rows = json.loads(message["content"]) if message.get("role") == "tool" else None
    except ValueError: rows = None
    return message | {"content": format_results([Result(row["id"], row["title"], row["snippet"]) for row in rows], "")} if isinstance(rows, list) else message


def index(name): return re.search(r"[0-9]*$", name)[0]


def model(persona, rarity, aloud=False):
    "A script whose answers go through the tool that an agent has for them, where it has one; aloud, it says what it does beside its reasoning"
    say = agent_script(ScriptedPolicy(persona, rarity))
    def answer(request):
        text = request.question.strip().removeprefix("New task:").strip()
        said = say(replace(request, question=text, tools=tuple(t for t in request.tools if t["name"] != "final_answer")))
        if not said.calls and any(tool["name"] == "final_answer" for tool in request.tools):
            said = replace(said, content="", calls=(("final_answer", {"answer": said.content}),))
        return replace(said, content=f"I call {said.calls[0][0]}.") if aloud and said.calls else said
    return ScriptedModel(answer, "reasoning_content", FIELDS | ScriptedModel.__dataclass_fields__["fields"].default)


def main(script, python):
    with tempfile.TemporaryDirectory() as folder:
        rarity = word_rarity(open_corpus(write_museum(folder)[0]))
        models, count = {"patient": model("patient", rarity), "aloud": model("patient", rarity, aloud=True)}, itertools.count(1)
        def reply(body):
            if "messages" in body: body = body | {"messages": [as_text(message) for message in body["messages"]]}
            sent = reply_to(models, body)
            if isinstance(sent, tuple): print(*sent, file=sys.stderr); return sent
            details = {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}} if "input" in body else {}
            sent = with_new_ids(sent, next(count)) | {"usage": sent["usage"] | details}
            return as_stream(sent) if body.get("stream") and "choices" in sent else sent
        with stand_in(reply) as served, stand_in(library) as tools:
            questions = [{"id": q.query_id, "text": q.text, "answer": q.answer} for q in QUESTIONS if q.query_id in ASKED]
            subprocess.run([python, HERE/script], cwd=HERE, check=True, env={"PATH": os.environ["PATH"], "HOME": folder, "TMPDIR": folder, "OPENAI_BASE_URL": served.url,
                           "OPENAI_API_KEY": "none", "LIBRARY_URL": tools.url, "QUESTIONS": json.dumps(questions)})


if __name__ == "__main__": main(*sys.argv[1:])
