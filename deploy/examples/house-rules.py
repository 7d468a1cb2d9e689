#!/usr/bin/env python3
"""A rewriter: puts a house rule behind whatever a person types. Needs redis-cli (package redis-tools) and nothing else."""
import json, os, subprocess, uuid

NAME, RULE = "house-rules", {"type": "text", "text": "House rule: metres, not feet."}
WISH = {"name": NAME, "order": 50, "holdMs": 2000, "whenAbsent": "forward", "profiles": ["*"],
        "wants": [{"on": "human"}], "view": ["last"]}

def redis(*words, check=True):
    command = ["redis-cli", "-u", os.environ.get("REDIS_URL", "redis://127.0.0.1:6390"), "-e", "--json", *words]
    error = None if check else subprocess.DEVNULL
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, stderr=error, check=check).stdout or "null")

redis("XGROUP", "CREATE", "loom:requests", NAME, "$", "MKSTREAM", check=False)  # One that is there stays as it is.
while True:
    redis("HSET", "loom:rewriters", NAME, json.dumps(WISH))
    redis("SET", "loom:rewriter:" + NAME, "python", "EX", "10")
    batch = redis("XREADGROUP", "GROUP", NAME, "python", "COUNT", "10", "BLOCK", "3000", "STREAMS", "loom:requests", ">")
    for entry, fields in (batch or {}).get("loom:requests", []):
        event = dict(zip(fields[::2], fields[1::2]))
        question = json.loads(event["data"])
        if NAME in [awaited["rewriter"] for awaited in question["awaited"]]:
            path = question["view"]["last"]["pointer"] + "/content/-"
            reply = {"requestId": question["requestId"], "rewriter": NAME, "replica": "python", "bodySha256":
                     question["body"]["sha256"], "edits": [{"op": "add", "path": path, "value": RULE, "durable": True}]}
            event |= {"id": str(uuid.uuid4()), "source": NAME, "type": "edits.proposed", "data": json.dumps(reply)}
            redis("XADD", question["replyStream"], "*", *[word for field in event.items() for word in field])
        redis("XACK", "loom:requests", NAME, entry)
