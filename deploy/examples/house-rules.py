#!/usr/bin/env python3
"""A rewriter: puts a house rule behind whatever a person types. Needs redis-cli (package redis-tools) and nothing else.

    REDIS_URL=redis://127.0.0.1:6390 python3 deploy/examples/house-rules.py
"""
import json, os, subprocess, uuid

NAME, RULE = "house-rules", "House rule: metres, not feet."
ANNOUNCEMENT = {"name": NAME, "order": 50, "holdMs": 2000, "whenAbsent": "forward", "profiles": ["*"],
                "wants": [{"on": "human"}], "view": ["last"]}


def redis(*words):
    command = ["redis-cli", "-u", os.environ.get("REDIS_URL", "redis://127.0.0.1:6390"), "--json", *words]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def answer(event):
    question = json.loads(event["data"])
    if NAME not in [awaited["rewriter"] for awaited in question["awaited"]]:
        return
    block = {"op": "add", "path": question["view"]["last"]["pointer"] + "/content/-", "durable": True,
             "value": {"type": "text", "text": RULE}}
    data = {"requestId": question["requestId"], "rewriter": NAME, "replica": "python",
            "bodySha256": question["body"]["sha256"], "edits": [block]}
    reply = event | {"id": str(uuid.uuid4()), "source": "/examples/" + NAME, "type": "edits.proposed",
                     "data": json.dumps(data)}
    redis("XADD", question["replyStream"], "*", *[word for field in reply.items() for word in field])


redis("XGROUP", "CREATE", "loom:requests", NAME, "$", "MKSTREAM")  # A group that is there already stays as it is.
while True:
    redis("HSET", "loom:rewriters", NAME, json.dumps(ANNOUNCEMENT))
    redis("SET", "loom:rewriter:" + NAME, "python", "EX", "10")
    batch = redis("XREADGROUP", "GROUP", NAME, "python", "COUNT", "10", "BLOCK", "3000", "STREAMS", "loom:requests", ">")
    for entry, fields in (batch or {}).get("loom:requests", []):
        event = dict(zip(fields[::2], fields[1::2]))
        if event["type"] == "request.received":
            answer(event)
        redis("XACK", "loom:requests", NAME, entry)
