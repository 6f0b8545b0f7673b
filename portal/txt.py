"""TXT records of a name, asked of the resolvers that the system names."""

from __future__ import annotations

from portal.errors import Refused, TryLater

ANSWER_S = 5.0
MOST_RECORDS = 100


def txt_records(name: str, timeout_s: float = ANSWER_S) -> tuple[str, ...]:
    """Return the texts of a name's TXT records, at most `MOST_RECORDS`; none where the name or its records are not there.

    Raises Refused for a name that cannot be asked for, TryLater where nobody answered: that is not "none".
    """
    # 50 ms to import, and most processes never ask.
    import dns.exception
    import dns.name
    import dns.resolver

    try:
        asked = dns.name.from_text(f"{name}.")
    except (dns.exception.DNSException, UnicodeError, ValueError):
        raise Refused(f"{name} is no name that has records.", code="bad_name") from None
    try:
        answer = dns.resolver.resolve(asked, "TXT", lifetime=timeout_s, search=False)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return ()
    except (dns.exception.DNSException, OSError):
        raise TryLater(
            f"The records of {name} could not be asked for just now.", after_s=timeout_s, code="no_dns"
        ) from None
    # One record may come in pieces, which belong together as they stand (RFC 7208, 3.3, says so for SPF).
    return tuple(
        b"".join(one.strings).decode("utf-8", errors="replace") for one in list(answer)[:MOST_RECORDS]
    )
