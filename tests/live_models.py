"A real, very small language model behind a real vLLM server on the CPU, for tests of the live path"
import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

NAME = "smollm2-135m"
FLAGS = ("--dtype", "bfloat16", "--enforce-eager", "--max-model-len", "8192", "--enable-auto-tool-choice", "--tool-call-parser", "hermes")

# The model's own template knows neither tools nor their results
TEMPLATE = """{%- for message in messages -%}
<|im_start|>{{ {'tool': 'user', 'developer': 'system'}.get(message.role, message.role) }}
{% if message.role == 'tool' %}<tool_response>
{{ message.content }}
</tool_response>{% else %}{{ message.content or '' }}{% endif %}
{%- for call in message.tool_calls or [] %}
<tool_call>{{ {'name': call.function.name, 'arguments': call.function.arguments} | tojson }}</tool_call>
{%- endfor %}
{%- if loop.first and tools %}
Tools, called as <tool_call>{"name": ..., "arguments": ...}</tool_call>:
{%- for tool in tools %}
{{ tool.function | tojson }}
{%- endfor %}
{%- endif %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def vllm_python(root):
    "The interpreter of vLLM's environment, or None"
    named = os.environ.get("LRAT_VLLM_PYTHON")
    path = Path(named) if named else root/".venv-vllm"/"bin"/"python"
    return path if path.is_file() else None


def save_unpacked(gguf, folder):
    "Save a GGUF model as one that vLLM serves: weights unpacked, in bfloat16, with a template that knows tools"
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    packed = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    config = packed.config
    if hasattr(config, "quantization_config"): del config.quantization_config
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.load_state_dict(packed.state_dict())
    model.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)


@contextlib.contextmanager
def serving(python, folder, log, patience=600):
    "A server for the model in `folder` as long as the block lasts: its URL, and the seconds that it took to start"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1", "PYTHONNOUSERSITE": "1"}
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "OPENAI_API_KEY")} | settings
    start = time.monotonic()
    with open(log, "wb") as output:
        server = subprocess.Popen([python, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder), "--served-model-name", NAME,
                                   "--host", "127.0.0.1", "--port", str(port), *FLAGS], cwd=log.parent, env=environment, stdout=output,
                                  stderr=subprocess.STDOUT, start_new_session=True)
    try:
        while not is_up(port):
            if server.poll() is not None or time.monotonic() - start > patience:
                raise RuntimeError(f"vLLM did not start (status {server.poll()}):\n" + log.read_text(errors="replace")[-3000:])
            time.sleep(.5)
        yield f"http://127.0.0.1:{port}/v1", time.monotonic() - start
    finally: stop(server)


def is_up(port):
    try: return urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).status == 200
    except OSError: return False


def stop(server):
    "End the server and its workers"
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError): os.killpg(server.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired): server.wait(20)
