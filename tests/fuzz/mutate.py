"Changes to samples: to bytes, to lines, to the values of JSON, by a generator that has a seed."
import copy, json, random

TOKENS = [b'"', b"{", b"}", b"[", b"]", b",", b":", b"null", b"true", b"NaN", b"-Infinity", b"1e999", b"-1", b"0", b"9" * 400, b"9" * 5000, b"\\ud800", b"\\u0000", b"\0", b"\xff", b"\xef\xbb\xbf", b"\r\n", b"\n\n", b"\t",
          b"[" * 3000, b'{"a":' * 3000, b"<think>", b"</think>", b"<tool_call>", b"</tool_call>", b"data: ", b"[DONE]", b"../../x", b"/", b"%", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"PAR1", b"PK\x03\x04", "ａé\u2028".encode(),
          b"2020-13-45", b"!!python/object:x", b"&a [*a]", b"? [a, b]\n: c", b"<<: x", b"http://[x", b"0x", b"1_0", b"__import__('os')", b"b'x'", b"{1, 2}", b"(1,)"]
VALUES = [None, True, False, 0, 1, -1, 7, 1.5, 1e308, 2**63, 10**30, "", " ", "x", "\ud800", "\0", "NaN", "null", "[]", "{}", "1", [], {}, [None], [[]], [{}], [7], ["x", "x"], {"": ""}, {"x": {"x": 1}}, {"type": "text", "text": 7}, "a/b:c\n\t", "é\u2028", "x" * 3000]


def places(value):
    "All pairs of a container and a key"
    found, queue = [], [value]
    while queue:
        one = queue.pop()
        for key in (one if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ()):
            found.append((one, key))
            if isinstance(one[key], (dict, list)): queue.append(one[key])
    return found


def renamed(part, key, name): part[name] = part.pop(key)


def mutate_value(value, rng):
    "A value with a few of its parts replaced, left out, doubled, renamed or exchanged"
    value = [copy.deepcopy(value)]
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        known = places(value)
        part, key = rng.choice(known)
        how = rng.randrange(7)
        if how < 3: part[key] = copy.deepcopy(rng.choice(VALUES))
        elif how == 3 and part is not value: del part[key]
        elif how == 4 and isinstance(part, list) and part is not value: part.insert(key, copy.deepcopy(part[key]))
        elif how == 4 and isinstance(part, dict): renamed(part, key, str(rng.choice(list(part))))
        elif how == 5: part[key] = [part[key]]
        else:
            other, name = rng.choice(known)
            part[key] = copy.deepcopy(other[name]) if isinstance(other[name], (str, int, float, list, dict, type(None))) else None
    return value[0]


def mutate_json(data, rng):
    "JSON, or one of its lines, changed as a value; None for what is not JSON"
    if len(data) > 200_000: return None
    def load(text):
        try: return json.loads(text)
        except (ValueError, RecursionError): return load
    whole = load(data)
    try:
        if whole is not load: return json.dumps(mutate_value(whole, rng), ensure_ascii=rng.random() < .5).encode("utf-8", "surrogatepass")
        lines = data.split(b"\n")
        fine = [n for n, line in enumerate(lines) if line.strip() and load(line) is not load]
        if not fine: return None
        at = rng.choice(fine)
        lines[at] = json.dumps(mutate_value(load(lines[at]), rng)).encode()
    except (ValueError, RecursionError): return None
    return b"\n".join(lines)


def mutate_lines(data, rng):
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    how = rng.randrange(4)
    if how == 0: del lines[at]
    elif how == 1: lines.insert(at, lines[rng.randrange(len(lines))])
    elif how == 2: lines[at] = lines[at][:rng.randrange(len(lines[at]) + 1)]
    else: rng.shuffle(lines)
    return b"\n".join(lines)


def mutate_bytes(data, rng):
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(len(data) + 1)
        how = rng.randrange(5)
        if how == 0 and data: data[min(at, len(data) - 1)] = rng.randrange(256)
        elif how == 1: data[at:at + rng.choice((1, 2, 8, 100))] = b""
        elif how == 2: data[at:at] = rng.choice(TOKENS)
        elif how == 3: data[at:at + rng.choice((1, 4, 16))] = rng.choice(TOKENS)
        else: data[at:at] = data[rng.randrange(len(data) + 1):][:rng.choice((1, 10, 200))]
    return bytes(data)


def mutate(data, rng):
    "One change of `data`"
    how = rng.random()
    found = mutate_json(data, rng) if how < .55 else mutate_lines(data, rng) if how < .65 else None
    return mutate_bytes(data, rng) if found is None else found


def mutations(seeds, rng):
    "Changed samples without end; what was changed is sometimes changed again"
    pool = list(seeds)
    while True:
        data = mutate(rng.choice(pool), rng)
        yield data
        if rng.random() < .2 and len(data) < 50_000: pool[len(seeds):] = [*pool[len(seeds):], data][-20:]
