"LangGraph: one line for each run, with its state; messages as `model_dump` gives them."
import json
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
import library

model = ChatOpenAI(model="patient", use_responses_api=True, output_version="responses/v1")
graph = create_agent(model, [library.search, library.get_document], system_prompt=library.INSTRUCTIONS)

with open("langgraph.jsonl", "w") as log:
    for question in library.QUESTIONS:
        state = graph.invoke({"messages": [("user", question["text"])]}, {"recursion_limit": 60})
        log.write(json.dumps({"thread_id": question["id"], "messages": [message.model_dump(mode="json") for message in state["messages"]]}) + "\n")
