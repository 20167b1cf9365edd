"""Runs a cell in a kernel of the notebook server of this pod, and prints what that prints: cell.py KERNEL CODE. With new as KERNEL it
starts one, and prints its id."""

import json
import os
import sys
import urllib.request
import uuid

import websocket

HOST = "127.0.0.1:8888"
TOKEN = {"Authorization": f"token {os.environ['TOKEN']}"}


def new():
    request = urllib.request.Request(f"http://{HOST}/api/kernels", b"{}", TOKEN)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)["id"]


def run(kernel, code):
    session, me = uuid.uuid4().hex, uuid.uuid4().hex
    url = f"ws://{HOST}/api/kernels/{kernel}/channels?session_id={session}"
    socket = websocket.create_connection(url, timeout=20, header=TOKEN)
    header = {"msg_id": me, "msg_type": "execute_request", "session": session, "username": "", "version": "5.3", "date": ""}
    content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
    rest = {"parent_header": {}, "metadata": {}, "channel": "shell", "buffers": []}
    socket.send(json.dumps({"header": header, "content": content, **rest}))
    text, left = "", {"idle", "reply"}
    while left:
        said = json.loads(socket.recv())
        if said["parent_header"].get("msg_id") != me:
            continue
        if said["msg_type"] == "stream":
            text += said["content"]["text"]
        elif said["msg_type"] == "execute_reply":
            left -= {"reply"}
        elif said["content"].get("execution_state") == "idle":
            left -= {"idle"}
    return text


kernel, code = sys.argv[1:]
print(new() if kernel == "new" else run(kernel, code))
