"""Ends of content that are none: what some servers take for the end of a message and others for text (RFC 5321 §4.1.1.4)."""

ENDINGS = {
    "LF . LF": "\n.\n",
    "LF . CRLF": "\n.\r\n",
    "CRLF . LF": "\r\n.\n",
    "CR . CR": "\r.\r",
    "CR . CRLF": "\r.\r\n",
    "CRLF . CR": "\r\n.\r",
    "CR . LF": "\r.\n",
    "LF . CR": "\n.\r",
    "CR LF LF . CRLF": "\r\n\n.\r\n",
    "CRLF . CR CRLF": "\r\n.\r\r\n",
    "LF LF . LF LF": "\n\n.\n\n",
    "NUL CRLF . LF": "\0\r\n.\n",
    "CRLF NUL . CRLF": "\r\n\0.\r\n",
    "CRLF . NUL CRLF": "\r\n.\0\r\n",
    "CR NUL LF . CRLF": "\r\0\n.\r\n",
    "LF .. LF": "\n..\n",
}
# Unlike those, these are what they seem: the end itself, also behind a bare CR, and a line of one dot as it goes over the wire.
END, END_BEHIND_CR, DOUBLED = "\r\n.\r\n", "\r\r\n.\r\n", "\r\n..\r\n"
EVERY_ENDING = {**ENDINGS, "CRLF . CRLF": END, "CR CRLF . CRLF": END_BEHIND_CR, "CRLF .. CRLF": DOUBLED}
