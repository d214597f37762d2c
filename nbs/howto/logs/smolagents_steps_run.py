"smolagents: one line for each question, with the steps in the agent's memory."
import json, os
from smolagents import OpenAIServerModel, ToolCallingAgent, tool
import library

model = OpenAIServerModel("aloud", api_base=os.environ["OPENAI_BASE_URL"], api_key="none")

with open("smolagents_steps.jsonl", "w") as log:
    for question in library.QUESTIONS[:1]:
        agent = ToolCallingAgent([tool(library.search), tool(library.get_document)], model, max_steps=30)
        agent.run(question["text"])
        steps = agent.memory.get_full_steps()
        log.write(json.dumps({"id": question["id"], "steps": steps}, default=str) + "\n")
