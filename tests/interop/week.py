"""A week of one user with two devices, told with slixmpp: away and back, what one device did on the other, blocking, notifications.

Reads the logins from standard input as JSON: "user" with the addresses of two edges, and "friend". Writes a JSON line for each
check: what it is, and why it failed, if it did. Ends with the first failure.
"""

import asyncio
import json
import pathlib
import sys
import xml.etree.ElementTree as xml

import slixmpp
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import MatchXPath

PATIENCE = 30  # seconds for any one thing to happen
MAM, RSM, PUSH, PUBSUB = "urn:xmpp:mam:2", "http://jabber.org/protocol/rsm", "urn:xmpp:push:0", "http://jabber.org/protocol/pubsub"


class Failure(Exception):
    """What should have been, and what was."""


class Device(slixmpp.ClientXMPP):
    """One device; what it hears is noted in order."""

    def __init__(self, login, resource, address):
        super().__init__(f"{login['jid']}/{resource}", login["password"])
        self.ca_certs, self.enable_direct_tls = pathlib.Path(login["ca"]), False
        self.enable_plaintext, self.auto_authorize, self.auto_subscribe = False, None, False
        self.address, self.name = address, resource
        for plugin in ("0004", "0030", "0049", "0054", "0059", "0191", "0199", "0203", "0280", "0297", "0313", "0352", "0359"):
            self.register_plugin(f"xep_{plugin}")
        self.heard, self.news = [], asyncio.Event()
        self.add_event_handler("message", self.hears)
        self.add_event_handler("message_error", lambda message: self.note("refused", message["id"]))
        self.add_event_handler("carbon_received", lambda copy: self.note("received", copy["carbon_received"]["body"]))
        self.add_event_handler("carbon_sent", lambda copy: self.note("sent", copy["carbon_sent"]["body"]))
        self.add_event_handler("blocked", lambda iq: self.note("blocked", *sorted(str(item["jid"]) for item in iq["block"]["items"])))
        self.add_event_handler("unblocked", lambda iq: self.note("unblocked"))
        for kind in ("subscribe", "available", "unavailable"):
            self.add_event_handler(f"presence_{kind}", lambda presence, kind=kind: self.note(kind, presence["from"].bare))
        publish = MatchXPath(f"{{jabber:client}}iq/{{{PUBSUB}}}pubsub")
        self.register_handler(Callback("notification", publish, self.is_notified))

    def note(self, *what):
        self.heard.append(what)
        self.news.set()

    def hears(self, message):
        if message["body"]:
            self.note("late" if message["delay"]["stamp"] else "message", message["body"])

    def is_notified(self, iq):
        self.note("notified", iq.xml.find(f".//{{{PUBSUB}}}publish").get("node"))
        iq.reply().send()

    async def come(self, available=True):
        """Logs in; with carbons, and once it has its roster available."""
        self.heard.clear()
        started = asyncio.get_running_loop().create_future()
        self.add_event_handler("session_start", lambda _: started.done() or started.set_result(None), disposable=True)
        host, port = self.address.rsplit(":", 1)
        self.connect(host, int(port))
        await asyncio.wait_for(started, PATIENCE)
        await self.get_roster()
        await self.plugin["xep_0280"].enable()
        if available:
            await self.be_available()

    async def be_available(self):
        self.send_presence()
        await self.sync()

    async def go(self):
        await asyncio.wait_for(self.disconnect(), PATIENCE)

    async def sync(self):
        """What was said before has gone its way, and what came by then has arrived."""
        await self.plugin["xep_0199"].ping(self.boundjid.bare)

    async def expect(self, *what):
        """Waits until something was heard, and forgets it."""
        async def heard():
            while what not in self.heard:
                self.news.clear()
                await self.news.wait()
            self.heard.remove(what)
        try:
            await asyncio.wait_for(heard(), PATIENCE)
        except asyncio.TimeoutError:
            raise Failure(f"{self.name} did not get {what}, but {self.heard}") from None

    async def quiet(self):
        await self.sync()
        left = [what for what in self.heard if what[0] not in ("available", "unavailable")]
        if left:
            raise Failure(f"{self.name} got more: {left}")

    async def archive(self, after=None, page=2):
        """Reads the archive from there to its end, page by page: bodies, and the last id."""
        bodies, complete = [], False
        while not complete:
            set_ = {"max": str(page), **({"after": after} if after else {})}
            results, fin = await self.query(set_)
            bodies += [body for _, body in results]
            after = results[-1][0] if results else after
            complete = fin.get("complete") == "true"
            if len(results) > page:
                raise Failure(f"a page of {len(results)}")
        return bodies, after

    async def query(self, set_):
        iq = self.make_iq_set()
        query = xml.SubElement(iq.xml, f"{{{MAM}}}query", queryid=iq["id"])
        asked = xml.SubElement(query, f"{{{RSM}}}set")
        for name, value in set_.items():
            xml.SubElement(asked, f"{{{RSM}}}{name}").text = value
        results, path = [], MatchXPath(f"{{jabber:client}}message/{{{MAM}}}result")
        handler = Callback(iq["id"], path, lambda message: results.append(result(message, iq["id"])))
        self.register_handler(handler)
        try:
            answer = await iq.send(timeout=PATIENCE)
        finally:
            self.remove_handler(iq["id"])
        return [found for found in results if found], answer.xml.find(f"{{{MAM}}}fin")

    async def push(self, verb, service):
        iq = self.make_iq_set()
        xml.SubElement(iq.xml, f"{{{PUSH}}}{verb}", jid=str(service), node="week")
        await iq.send(timeout=PATIENCE)


def result(message, queryid):
    found = message.xml.find(f"{{{MAM}}}result")
    body = found.find(".//{jabber:client}body")
    return (found.get("id"), body.text if body is not None else None) if found.get("queryid") == queryid else None


def same(what, found, expected):
    if found != expected:
        raise Failure(f"{what}: expected {expected}, not {found}")


class Week:
    def __init__(self, user, friend):
        self.user, self.friend = user["jid"], friend["jid"]
        self.phone = Device(user, "phone", user["addresses"][0])
        self.laptop = Device(user, "laptop", user["addresses"][-1])
        self.other = Device(friend, "desk", friend["addresses"][0])
        self.last = None  # what the devices have read of the archive

    def say(self, device, to, body):
        device.send_message(mto=to, mbody=body, mtype="chat")

    async def monday(self):
        """Both devices are there, and make friends."""
        for device in (self.other, self.phone, self.laptop):
            await device.come()
        self.phone.send_presence_subscription(self.friend, ptype="subscribe")
        await self.other.expect("subscribe", self.user)
        for kind in ("subscribed", "subscribe"):
            self.other.send_presence_subscription(self.user, ptype=kind)
        await self.phone.expect("subscribe", self.friend)
        self.phone.send_presence_subscription(self.friend, ptype="subscribed")
        await self.other.expect("available", self.user)
        self.say(self.other, f"{self.user}/phone", "to the phone")
        await self.phone.expect("message", "to the phone")
        await self.laptop.expect("received", "to the phone")
        self.say(self.phone, f"{self.friend}/desk", "from the phone")
        await self.other.expect("message", "from the phone")
        await self.laptop.expect("sent", "from the phone")
        bodies, self.last = await self.laptop.archive()
        same("the archive", bodies[-2:], ["to the phone", "from the phone"])

    async def tuesday(self):
        """The laptop is away."""
        await self.laptop.go()
        self.say(self.other, self.user, "where is the laptop?")
        await self.phone.expect("message", "where is the laptop?")
        self.say(self.phone, self.friend, "at home")
        await self.other.expect("message", "at home")
        await self.phone.quiet()

    async def wednesday(self):
        """Nobody is there."""
        await self.phone.go()
        await self.other.expect("unavailable", self.user)
        for number in range(5):
            self.say(self.other, self.user, f"while you were away: {number}")
        await self.other.quiet()

    async def thursday(self):
        """The laptop reads what it missed, once, and so does the phone."""
        missed = ["where is the laptop?", "at home", *(f"while you were away: {number}" for number in range(5))]
        for device in (self.laptop, self.phone):
            await device.come(available=False)
            bodies, last = await device.archive(self.last)
            same(f"what the {device.name} missed", bodies, missed)
            await device.be_available()
            await device.quiet()
        self.last = last

    async def friday(self):
        """Enough of the friend, for a while."""
        await self.laptop.plugin["xep_0191"].get_blocked()
        await self.phone.plugin["xep_0191"].block(slixmpp.JID(self.friend))
        await self.laptop.expect("blocked", self.friend)
        self.say(self.other, self.user, "are you there?")
        await self.until_refused()
        await self.phone.plugin["xep_0191"].unblock(slixmpp.JID(self.friend))
        await self.laptop.expect("unblocked")
        self.other.heard.clear()
        self.say(self.other, self.user, "and now?")
        for device in (self.phone, self.laptop):
            await device.expect("message", "and now?")
            await device.quiet()
        bodies, self.last = await self.phone.archive(self.last)
        same("what is archived of it", bodies, ["and now?"])

    async def until_refused(self):
        while not any(what[0] == "refused" for what in self.other.heard):
            self.other.news.clear()
            await asyncio.wait_for(self.other.news.wait(), PATIENCE)

    async def saturday(self):
        """The phone lies in a drawer; the friend's device plays its app server."""
        await self.phone.push("enable", f"{self.friend}/desk")
        await self.phone.go()
        self.other.heard.clear()
        self.say(self.other, f"{self.user}/laptop", "wake up")
        await self.laptop.expect("message", "wake up")
        await self.other.expect("notified", "week")
        await self.phone.come(available=False)
        bodies, self.last = await self.phone.archive(self.last)
        same("what the phone missed", bodies, ["wake up"])
        await self.phone.push("disable", f"{self.friend}/desk")
        await self.phone.be_available()
        await self.phone.quiet()

    async def sunday(self):
        """Cards and notes, the same on both devices; then farewell."""
        card = self.phone.plugin["xep_0054"].make_vcard()
        card["FN"] = "Phone and Laptop"
        await self.phone.plugin["xep_0054"].publish_vcard(card)
        seen = await self.other.plugin["xep_0054"].get_vcard(slixmpp.JID(self.user))
        same("the card", seen["vcard_temp"]["FN"], "Phone and Laptop")
        await self.keep_a_note()
        for device in (self.phone, self.other):
            device.del_roster_item(self.friend if device is self.phone else self.user)
            await device.sync()
        for device in (self.phone, self.laptop, self.other):
            await device.go()

    async def keep_a_note(self):
        note = "{urn:example:note}note"
        iq = self.phone.make_iq_set()
        xml.SubElement(xml.SubElement(iq.xml, "{jabber:iq:private}query"), note).text = "milk"
        await iq.send(timeout=PATIENCE)
        iq = self.laptop.make_iq_get()
        xml.SubElement(xml.SubElement(iq.xml, "{jabber:iq:private}query"), note)
        answer = await iq.send(timeout=PATIENCE)
        same("the note", answer.xml.find(f".//{note}").text, "milk")


async def main():
    logins = json.loads(sys.stdin.read())
    week = Week(logins["user"], logins["friend"])
    for day in (week.monday, week.tuesday, week.wednesday, week.thursday, week.friday, week.saturday, week.sunday):
        what, why = f"{day.__name__}: {day.__doc__}", None
        try:
            await asyncio.wait_for(day(), 3 * PATIENCE)
        except Exception as failure:  # whatever it is, it is told
            why = f"{type(failure).__name__}: {failure}"
        print(json.dumps({"what": what, "why": why}), flush=True)
        if why:
            return


asyncio.run(main())
