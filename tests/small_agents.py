"A retriever and agents of a few lines, for tests; run as a program it collects slowly, so it can be killed."
import asyncio, sys, time
from pathlib import Path
from lrat.agents.actions import Answer, BrowseCall, Budget, Policy, Results, SearchCall
from lrat.agents.collect import collect
from lrat.data.corpus import Document
from lrat.data.questions import Question
from lrat.retrieval.retriever import Hit

TEXTS = {f"d{n:02}": f"Town {n:02}\nTown {n:02} lies by river {n % 7} and has {n} mills." for n in range(40)}
DOCUMENTS = {docid: Document(docid, text) for docid, text in TEXTS.items()}
QUESTIONS = [Question(f"q{n:02}", f"Which town has {n} mills?", f"Town {n:02}") for n in range(40)]

def first_words(text, n): return " ".join(text.split()[:n])

class Words:
    "Ranks documents by shared words; remembers how many queries came together"
    name = "words"
    def __init__(self): self.batches = []
    def document(self, docid): return DOCUMENTS[docid]
    def search(self, query, k): return self.search_batch([query], k)[0]
    def search_batch(self, queries, k):
        self.batches.append(len(queries))
        return [self.rank(set(q.rstrip("?").split()))[:k] for q in queries]
    def rank(self, words):
        hits = [Hit(d.docid, float(len(words & set(d.text.rstrip(".").split())))) for d in DOCUMENTS.values()]
        return sorted(hits, key=lambda hit: (-hit.score, hit.docid))

class Plain(Policy):
    "Searches, opens the best document, answers with its title"
    name = "plain"
    def __init__(self, delay=0): self.delay = delay
    def start(self, question): return question
    def act(self, state, observation, remaining):
        time.sleep(self.delay)
        return self.decide(state, observation)
    def decide(self, state, observation):
        if observation is None: return SearchCall(state, "I look for it.")
        if isinstance(observation, Results): return BrowseCall(observation.results[0].docid, "This may be it.")
        return Answer(observation.title, f"I read: {observation.content}")

class Patient(Plain):
    "Does the same, but waits as for a model"
    concurrency = 2
    async def act(self, state, observation, remaining):
        await asyncio.sleep(self.delay)
        return self.decide(state, observation)

if __name__ == "__main__":
    policy = {"Plain": Plain, "Patient": Patient}[sys.argv[3] if len(sys.argv) > 3 else "Plain"]
    collect(QUESTIONS, Words(), policy(float(sys.argv[2])), Path(sys.argv[1]), Budget(rounds=6, k=3), first_words, batch_size=2)
