"""A chat endpoint of fixed latency, in a process of its own: `python slow_endpoint.py SECONDS`. It prints its port and ends with its input.

Every conversation goes the same way: a search, an opened document, a search, an answer.
"""
import asyncio, json, sys
from aiohttp import web


def completion(content, tool="", **arguments):
    calls = [{"id": "call_0", "type": "function", "function": {"name": tool, "arguments": json.dumps(arguments)}}] if tool else []
    message = {"role": "assistant", "content": content, **({"tool_calls": calls} if calls else {})}
    return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}],
                       "usage": {"prompt_tokens": 10, "completion_tokens": 5}}).encode()


TURNS = [completion("I look for towns.", "search", query="towns by the sea"), completion("The first may help.", "get_document", docid="7"),
         completion("I look for more.", "search", query="rainy towns"), completion("Bergen")]


async def chat(request):
    body = await request.read()
    await asyncio.sleep(float(sys.argv[1]))
    turn = min(body.count(b'"role": "assistant"'), len(TURNS) - 1) # As the client writes it; to parse it would cost more than to answer
    return web.Response(body=TURNS[turn], content_type="application/json")


async def main():
    app = web.Application(client_max_size=1 << 30)
    app.router.add_post("/v1/chat/completions", chat)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


asyncio.run(main())
