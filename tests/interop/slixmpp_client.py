"""A slixmpp client on a leash: reads commands as JSON lines from standard input and writes what happens as JSON lines.

The first line is the login: jid, password, host, port, tls ("starttls" or "direct") and ca, a PEM file. Certificates are
always verified against that file, for the domain of the jid.
"""

import asyncio
import json
import pathlib
import sys

import slixmpp


def tell(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


class Client(slixmpp.ClientXMPP):
    def __init__(self, login):
        super().__init__(login["jid"] + "/slixmpp", login["password"])
        self.ca_certs = pathlib.Path(login["ca"])
        self.enable_direct_tls = login["tls"] == "direct"
        self.enable_starttls = login["tls"] == "starttls"
        self.enable_plaintext = False
        self.auto_authorize = None
        self.auto_subscribe = False
        self.register_plugin("xep_0203")
        self.register_plugin("xep_0199")
        self.register_plugin("xep_0198")
        self.next_edge = None
        self.add_event_handler("disconnected", self.move)
        self.add_event_handler("session_resumed", lambda _: tell("resumed"))
        self.add_event_handler("session_start", self.started)
        self.add_event_handler("message", self.received)
        self.add_event_handler("roster_update", self.pushed)
        for kind in ("available", "unavailable", "subscribe", "subscribed"):
            self.add_event_handler(f"presence_{kind}", self.noticed)
        for failure in ("failed_all_auth", "connection_failed", "ssl_invalid_chain", "stream_error"):
            self.add_event_handler(failure, lambda why, failure=failure: tell("failed", why=f"{failure}: {why}"))

    async def started(self, _):
        await self.get_roster()
        self.send_presence()
        tell("online", jid=str(self.boundjid), tls=self.socket.version())

    async def move(self, _):
        """Goes where it was told to go once the connection ends."""
        if self.next_edge:
            (host, port), self.next_edge = self.next_edge, None
            self.connect(host, port)

    def noticed(self, presence):
        kind = presence["type"] if presence["type"] in ("unavailable", "subscribe", "subscribed") else "available"
        tell("presence", **{"from": presence["from"].bare}, type=kind)

    def received(self, message):
        if message["body"]:
            stamp = message["delay"]["stamp"]
            tell("message", **{"from": message["from"].bare}, body=message["body"], delay=str(stamp) if stamp else None)

    def pushed(self, iq):
        if iq["type"] == "set":
            for jid, item in iq["roster"]["items"].items():
                tell("roster", jid=str(jid), subscription=item["subscription"])

    async def obey(self, command):
        do, to = command["do"], command.get("to")
        if do in ("subscribe", "subscribed"):
            self.send_presence(pto=to, ptype=do)
        elif do == "say":
            self.send_message(mto=to, mbody=command["body"], mtype="chat")
        elif do == "sync":
            # Any answer will do: it comes after everything that this session sent before.
            ping = self.make_iq_get(ito=to)
            ping["ping"]
            try:
                await ping.send(timeout=20)
            except slixmpp.exceptions.IqError:
                pass
            tell("synced")
        elif do == "move":
            self.next_edge = (command["host"], command["port"])
        elif do == "forget":
            await self.del_roster_item(to)
        elif do == "quit":
            await self.disconnect()
        else:
            raise ValueError(f"unknown command: {command}")


async def main():
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    login = json.loads(await lines.readline())
    client = Client(login)
    client.connect(login["host"], login["port"])
    while line := await lines.readline():
        command = json.loads(line)
        await client.obey(command)
        if command["do"] == "quit":
            break


asyncio.run(main())
