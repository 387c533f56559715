"""A real mail server for the tests: STARTTLS, AUTH, and answers by the recipient's address.

Takes the paths of a certificate and its key, or neither. Prints its port, then one line of JSON for each mail and each
login, and ends when its input does. What comes before the '@' of a recipient says what happens:

  fail-CODE      every RCPT is answered with CODE
  once-CODE      the first RCPT is answered with CODE, later ones are taken
  lost           the first mail is taken and the connection cut before the answer
"""

import asyncio
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

USER, PASSWORD = b"postrider", b"correct-horse-battery"
TEXTS = {"450": "4.2.0 greylisted", "550": "5.1.1 no such user", "421": "4.3.2 going down"}
seen = {}


def tell(**what):
    print(json.dumps(what), flush=True)


def count(key):
    seen[key] = seen.get(key, 0) + 1
    return seen[key]


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        local = address.split("@")[0]
        word, _, code = local.partition("-")
        times = count(("rcpt", address))
        tell(event="rcpt", to=address, times=times)
        if word == "fail" or (word == "once" and times == 1):
            return f"{code} {TEXTS[code]}"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server, session, envelope):
        to = envelope.rcpt_tos
        content = envelope.content.decode("utf-8", "replace")
        tell(event="mail", sender=envelope.mail_from, to=to, content=content, tls=session.ssl is not None)
        if to[0].startswith("lost@") and count("lost") == 1:
            server.transport.abort()
        return "250 2.0.0 OK queued as 4711"


def authenticate(server, session, envelope, mechanism, data):
    good = (data.login, data.password) == (USER, PASSWORD)
    tell(event="login", good=good, tls=session.ssl is not None)
    return AuthResult(success=good, handled=False) if not good else AuthResult(success=True)


async def main():
    context = None
    if len(sys.argv) > 2:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[1], sys.argv[2])
    loop = asyncio.get_running_loop()

    def smtp():
        return SMTP(
            Handler(), hostname="localhost", tls_context=context, require_starttls=context is not None,
            authenticator=authenticate, auth_require_tls=True, loop=loop,
        )

    server = await loop.create_server(smtp, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(main())
