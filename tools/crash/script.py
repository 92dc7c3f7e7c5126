"""The play that sender, receiver and judge know: an address says what becomes of it.

The system under test groups the recipients of one domain into one transaction, so a message that is refused after its
dot is refused for all recipients of that domain.
"""

REFUSED_RECIPIENT = "refuse-rcpt-"
REFUSED_MESSAGE = "refuse-data-"
TAKEN = "take-"
DOMAINS = ("one.example", "two.example")

# Of 100 addresses, how many are refused in each way.
PERCENT_REFUSED_RECIPIENT = 3
PERCENT_REFUSED_MESSAGE = 3
# Of 100 mails, how many have two recipients.
PERCENT_OF_TWO = 20


def recipients(chance, number):
    """Recipients of the number-th mail."""
    return [_address(chance, f"{number}-{place}") for place in range(2 if chance.random() * 100 < PERCENT_OF_TWO else 1)]


def _address(chance, name):
    drawn = chance.random() * 100
    if drawn < PERCENT_REFUSED_RECIPIENT:
        prefix = REFUSED_RECIPIENT
    elif drawn < PERCENT_REFUSED_RECIPIENT + PERCENT_REFUSED_MESSAGE:
        prefix = REFUSED_MESSAGE
    else:
        prefix = TAKEN
    return f"{prefix}{name}@{chance.choice(DOMAINS)}"


def refuses_recipient(address):
    return address.startswith(REFUSED_RECIPIENT)


def refuses_message(taken):
    """`taken`: the recipients of the transaction whose RCPT was not refused."""
    return any(address.startswith(REFUSED_MESSAGE) for address in taken)


def domain(address):
    return address.rpartition("@")[2]


def outcomes(to):
    """The status that each recipient of a mail has to end in."""
    refused = {domain(address) for address in to if refuses_message([address])}
    return {
        address: "bounced" if refuses_recipient(address) or domain(address) in refused else "delivered" for address in to
    }
