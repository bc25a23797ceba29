"""An external component (XEP-0114), told with slixmpp: who comes in, messages, presence and requests both ways, two connections, a
component that is gone, and an app server (XEP-0357).

Reads from standard input as JSON the "component" (domain, secret, the addresses of two edges) and the login of a "user". Writes a JSON
line for each check, as week.py does. Ends with the first failure.
"""

import asyncio
import json
import pathlib
import sys

import slixmpp
from slixmpp.exceptions import IqError
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

PATIENCE = 30  # seconds for any one thing to happen
PUBSUB, PUSH = "http://jabber.org/protocol/pubsub", "urn:xmpp:push:0"


class Failure(Exception):
    """What should have been, and what was."""


def condition(stanza):
    """Of an error: slixmpp looks for that of clients only, unless told otherwise for all that runs in the process."""
    error = next(child for child in stanza.xml if child.tag.endswith("}error"))
    return error[0].tag.split("}")[1]


class Heard:
    """What somebody hears is noted in order."""

    def listen(self):
        self.heard, self.news = [], asyncio.Event()
        self.add_event_handler("message", lambda message: self.note("message", message["from"].full, message["body"]))
        self.add_event_handler("message_error", lambda message: self.note("refused", condition(message)))
        for kind in ("available", "away", "unavailable", "subscribe", "subscribed", "probe"):
            self.add_event_handler(f"presence_{kind}", lambda presence, kind=kind: self.note(kind, presence["from"].bare))

    def note(self, *what):
        self.heard.append(what)
        self.news.set()

    async def hears(self, *what):
        """Waits until that has been heard, among whatever else, and forgets it."""

        async def among_others():
            while what not in self.heard:
                self.news.clear()
                await self.news.wait()

        try:
            await asyncio.wait_for(among_others(), PATIENCE)
        except asyncio.TimeoutError:
            raise Failure(f"waited in vain for {what}; heard {self.heard}") from None
        self.heard.remove(what)

    async def asks(self, to, sender=None):
        """What a ping is answered: `pong`, or the condition of an error."""
        ping = self.make_iq_get(ito=to, ifrom=sender)
        ping["ping"]
        try:
            await ping.send(timeout=PATIENCE)
        except IqError as error:
            return condition(error.iq)
        return "pong"

    async def gets(self, event, begin):
        """Waits for an event that follows from what is begun. Returns what came with it."""
        came = asyncio.get_running_loop().create_future()
        self.add_event_handler(event, lambda data: came.done() or came.set_result(data), disposable=True)
        begin()
        try:
            return await asyncio.wait_for(came, PATIENCE)
        except asyncio.TimeoutError:
            raise Failure(f"waited in vain for {event}") from None


class Component(slixmpp.ComponentXMPP, Heard):
    """Echoes messages, answers pings, grants every subscription."""

    def __init__(self, described, address, secret=None):
        host, port = address.rsplit(":", 1)
        super().__init__(described["domain"], secret or described["secret"], host, int(port))
        self.register_plugin("xep_0030")
        self.register_plugin("xep_0199")
        self.listen()
        self.add_event_handler("message", self.echo)
        publish = MatchXPath(f"{{{self.default_ns}}}iq/{{{PUBSUB}}}pubsub")
        self.register_handler(Callback("notification", publish, self.is_notified))

    def echo(self, message):
        if message["type"] != "error":
            message.reply(f"echo: {message['body']}").send()

    def is_notified(self, iq):
        self.note("notified", iq.xml.find(f".//{{{PUBSUB}}}publish").get("node"))
        iq.reply().send()

    async def come(self):
        await self.gets("session_start", self.connect)
        return self

    async def go(self):
        await asyncio.wait_for(self.disconnect(), PATIENCE)


class User(slixmpp.ClientXMPP, Heard):
    def __init__(self, login):
        super().__init__(login["jid"] + "/slixmpp", login["password"])
        self.ca_certs, self.enable_direct_tls, self.enable_plaintext = pathlib.Path(login["ca"]), False, False
        self.auto_authorize, self.auto_subscribe = None, False
        self.register_plugin("xep_0030")
        self.register_plugin("xep_0199")
        self.listen()
        self.host, port = login["addresses"]["starttls"].rsplit(":", 1)
        self.at = int(port)

    async def come(self):
        await self.gets("session_start", lambda: self.connect(self.host, self.at))
        await self.get_roster()
        self.send_presence()
        return self

    async def go(self):
        await asyncio.wait_for(self.disconnect(), PATIENCE)

    async def asks_until(self, to, wanted):
        """What a connection that broke leaves behind goes a moment later."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while (last := await self.asks(to)) != wanted:
            if asyncio.get_running_loop().time() > deadline:
                raise Failure(f"expected {wanted}, heard {last}")
            await asyncio.sleep(0.05)


async def wrong_secret(described, *_):
    stranger = Component(described, described["addresses"][0], "a guess")
    error = await stranger.gets("stream_error", stranger.connect)
    same("not-authorized", error["condition"])


async def unknown_domain(described, *_):
    stranger = Component({**described, "domain": "unknown.example"}, described["addresses"][0])
    error = await stranger.gets("stream_error", stranger.connect)
    same("host-unknown", error["condition"])


async def nobody_there(described, user, _):
    same("remote-server-timeout", await user.asks(described["domain"]))


async def echo(described, user, component):
    for to in (described["domain"], f"bot@{described['domain']}/any"):
        user.send_message(mto=to, mbody=f"Hello <&> \u00fc {to}", mtype="chat")
        await component.hears("message", user.boundjid.full, f"Hello <&> \u00fc {to}")
        await user.hears("message", to, f"echo: Hello <&> \u00fc {to}")


async def requests(described, user, component):
    same("pong", await user.asks(described["domain"]))
    user.send_presence(pto=f"bot@{described['domain']}")  # who may know that the client is there may ask it
    await component.hears("available", user.boundjid.bare)
    same("pong", await component.asks(user.boundjid.full, f"bot@{described['domain']}"))
    same("pong", await component.asks(user.boundjid.host, described["domain"]))
    same("service-unavailable", await component.asks(f"nobody@{user.boundjid.host}", described["domain"]))
    info = await user["xep_0030"].get_info(jid=described["domain"])
    same(True, "urn:xmpp:ping" in info["disco_info"]["features"])
    items = await user["xep_0030"].get_items(jid=user.boundjid.host)
    same(True, described["domain"] in [item[0] for item in items["disco_items"]["items"]])


async def presence(described, user, component):
    friend = f"friend@{described['domain']}"
    user.send_presence_subscription(pto=friend)
    await component.hears("subscribe", user.boundjid.bare)
    component.send_presence(pfrom=friend, pto=user.boundjid.bare, ptype="subscribed")
    component.send_presence(pfrom=friend, pto=user.boundjid.bare)
    await user.hears("subscribed", friend)
    await user.hears("available", friend)
    component.send_presence(pfrom=friend, pto=user.boundjid.bare, ptype="subscribe")
    await user.hears("subscribe", friend)
    user.send_presence(pto=friend, ptype="subscribed")
    await component.hears("subscribed", user.boundjid.bare)
    await component.hears("available", user.boundjid.bare)
    user.send_presence(pshow="away")
    await component.hears("away", user.boundjid.bare)
    await user.del_roster_item(friend)


async def two_connections(described, user, component):
    """At another edge. All that the user says is heard by one of them, in order; when that is gone, by the other."""
    other = await Component(described, described["addresses"][1]).come()
    texts = [str(number) for number in range(20)]
    for text in texts:
        user.send_message(mto=described["domain"], mbody=text, mtype="chat")
    for text in texts:
        await user.hears("message", described["domain"], f"echo: {text}")
    heard = [[what[2] for what in connection.heard if what[0] == "message"] for connection in (component, other)]
    same(True, sorted(heard) == [[], texts])
    chosen, left = (component, other) if heard[0] else (other, component)
    await chosen.go()
    user.send_message(mto=described["domain"], mbody="and now?", mtype="chat")
    await left.hears("message", user.boundjid.full, "and now?")
    await left.go()


async def gone(described, user, _):
    await user.asks_until(described["domain"], "remote-server-timeout")
    user.send_message(mto=f"bot@{described['domain']}", mbody="anybody?", mtype="chat")
    await user.hears("refused", "remote-server-timeout")


async def notified(described, user, _):
    """The user has an app server, goes away, and is written to: by the app server, as it happens."""
    app = await Component(described, described["addresses"][1]).come()
    enable = user.make_iq_set()
    enable.append(slixmpp.xmlstream.ET.fromstring(f"<enable xmlns='{PUSH}' jid='{described['domain']}' node='phone'/>"))
    await enable.send(timeout=PATIENCE)
    await user.go()
    await app.asks(user.boundjid.bare, f"bot@{described['domain']}")  # what the goodbye led to is through
    app.send_message(mfrom=f"bot@{described['domain']}", mto=user.boundjid.bare, mbody="wake up", mtype="chat")
    await app.hears("notified", "phone")
    await app.go()


BEFORE = [wrong_secret, unknown_domain, nobody_there]
TOGETHER = [echo, requests, presence, two_connections]
AFTER = [gone, notified]


def same(wanted, seen):
    if wanted != seen:
        raise Failure(f"expected {wanted!r}, saw {seen!r}")


async def tell(check, *arguments):
    """Writes what came of a check; whether it held."""
    why = None
    try:
        await check(*arguments)
    except (Failure, slixmpp.exceptions.XMPPError, asyncio.TimeoutError) as failure:
        why = str(failure) or repr(failure)
    print(json.dumps({"what": f"component: {check.__name__.replace('_', ' ')}", "why": why}), flush=True)
    return why is None


async def main():
    told = json.loads(sys.stdin.read())
    described, user = told["component"], await User(told["user"]).come()
    for check in BEFORE:
        if not await tell(check, described, user, None):
            return
    component = await Component(described, described["addresses"][0]).come()
    for check in TOGETHER:
        component.heard.clear()
        if not await tell(check, described, user, component):
            return
    for check in AFTER:
        if not await tell(check, described, user, None):
            return


asyncio.run(main())
