"LangGraph: what a graph streams, a line for each chunk, a file for each mode."
import json
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
import library

graph = create_agent(ChatOpenAI(model="aloud"), [library.search, library.get_document], system_prompt=library.INSTRUCTIONS)


def plain(value):
    "A chunk with its messages as objects"
    if hasattr(value, "model_dump"): return value.model_dump(mode="json")
    if isinstance(value, dict): return {name: plain(one) for name, one in value.items()}
    return [plain(one) for one in value] if isinstance(value, (list, tuple)) else value


for mode in ("updates", "messages", "values"):
    with open(f"langgraph_{mode}.jsonl", "w") as log:
        for question in library.QUESTIONS[:1]:
            asked = {"messages": [("user", question["text"])]}
            for chunk in graph.stream(asked, {"recursion_limit": 60, "configurable": {"thread_id": question["id"]}}, stream_mode=mode):
                log.write(json.dumps(plain(chunk)) + "\n")
