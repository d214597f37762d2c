"A service over a handful of documents, as a program: `served_names.py stdio|http FOLDER [SECONDS]` records into FOLDER."
import asyncio
import signal
import sys
import time

from lrat.data.corpus import Document
from lrat.serving.application import make_server, run_server
from lrat.serving.http import http_application
from lrat.serving.limits import Limits
from lrat.serving.mcp import run_stdio
from lrat.serving.recording import SessionRecorder
from lrat.retrieval.retriever import best_hits
from lrat.serving.service import Service


class Names:
    "Finds the documents that have a word of the query in their docid; `fault` is a query that it cannot take"
    name = "names"
    texts = {name: f"{name.title()}\n{about}" for name, about in {
        "oslo": "Capital of Norway.", "bergen": "A rainy city.", "uppsala": "An old university.", "turku": "A cathedral by a river."}.items()}
    def __init__(self, seconds=0.): self.seconds = seconds

    def search_batch(self, queries, k):
        time.sleep(self.seconds)
        if "fault" in queries: raise ValueError("a fault of the retriever")
        return [best_hits(((d, 1.) for d in self.texts if d in q.lower()), k) for q in queries]

    def search(self, query, k): return self.search_batch([query], k)[0]
    def document(self, docid): return Document(docid, self.texts[docid])


def names_service(folder=None, seconds=0., **limits):
    def words(text, tokens): return " ".join(text.split(" ")[:tokens])
    service = Service(Names(seconds), k=3, limits=Limits(**limits), recorder=SessionRecorder(folder, {"searcher_type": "names"}) if folder else None)
    service.snippet, service.page = (lambda text: words(text, 3)), (lambda text: words(text, 4)) # No tokenizer needs to be had
    return service


if __name__ == "__main__":
    service = names_service(sys.argv[2], float(sys.argv[3]) if len(sys.argv) > 3 else 0.)
    if sys.argv[1] == "stdio": asyncio.run(run_stdio(service))
    else:
        signal.signal(signal.SIGTERM, lambda *_: None)
        server, listening = make_server(http_application(service, {}), service, port=0)
        print(listening.getsockname()[1], flush=True)
        asyncio.run(run_server(server, listening, service))
