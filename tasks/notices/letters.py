"""Mails to guests, in their language: plain text, with a link, and no photo and no face."""

from dataclasses import dataclass
from email.header import Header
from email.mime.text import MIMEText
from email.policy import compat32
from email.utils import formatdate, make_msgid

LONGEST_NAME = 120  # letters of an event's name in a subject
_UNFOLDED = compat32.clone(max_line_length=None)  # not every mail program unfolds a link


@dataclass(frozen=True)
class Words:
    """The words of one kind of mail; {name} is the event's, {link} the subscription's page."""

    subject: str
    body: str


@dataclass(frozen=True)
class Letter:
    """A mail to write: its kind, whom it goes to, and what is filled in."""

    kind: str
    address: str
    language: str
    event_name: str
    link: str
    photos: int = 0


_LETTERS = {
    ("ask", "en"): Words(
        "Please confirm: notices of new photos ({name})",
        """Somebody, we hope you, asked us to write to this address when new photos of them appear
in the gallery "{name}".

If it was you, open this page and press "Yes, tell me":

{link}

If it was not you, do nothing: the address and the fingerprint of the face are deleted within two
days, and nothing more is sent. On the same page you can have them deleted at once.
""",
    ),
    ("ask", "ru"): Words(
        "Подтвердите: сообщения о новых фото ({name})",
        """Кто-то (надеемся, вы) попросил писать на этот адрес, когда в галерее «{name}»
появятся новые фотографии с ним.

Если это вы, откройте страницу и нажмите «Да, сообщайте мне»:

{link}

Если это не вы, ничего не делайте: адрес и отпечаток лица будут удалены в течение двух дней,
и больше мы не напишем. На той же странице их можно удалить сразу.
""",
    ),
    ("photos", "en"): Words(
        "New photos of you ({name})",
        """New photos of you in the gallery "{name}": {photos}.

Look at them here:

{link}

You get this mail because you asked for it. On the same page you can withdraw at any time: your
address and the fingerprint of your face are then deleted at once.
""",
    ),
    ("photos", "ru"): Words(
        "Новые фото с вами ({name})",
        """Новые фотографии с вами в галерее «{name}»: {photos}.

Посмотреть:

{link}

Вы получили это письмо, потому что просили об этом. На той же странице можно в любой момент
отказаться: адрес и отпечаток лица будут сразу удалены.
""",
    ),
    ("ended", "en"): Words(
        "No more notices of new photos ({name})",
        """The photos of the gallery "{name}" are searched in another way now, and the fingerprint
of your face does not fit it. It has been deleted, together with your address: you will get no more
notices.

If you want new ones, take a selfie in the gallery once more:

{link}
""",
    ),
    ("ended", "ru"): Words(
        "Сообщений о новых фото больше не будет ({name})",
        """В галерее «{name}» теперь ищут по-другому, и отпечаток вашего лица к этому не подходит.
Он удалён вместе с вашим адресом: сообщений больше не будет.

Если хотите получать их дальше, сделайте в галерее ещё одно селфи:

{link}
""",
    ),
}


def write_letter(letter: Letter, sender: str) -> MIMEText:
    """The mail; `sender` as read_mail_server gives it."""
    language = "ru" if letter.language == "ru" else "en"
    words = _LETTERS[letter.kind, language]
    # An event's name may hold anything but zero bytes; a header is one line.
    name = "".join(one if one.isprintable() else " " for one in letter.event_name)
    name = " ".join(name.split())[:LONGEST_NAME]
    body = words.body.replace("{photos}", str(letter.photos)).replace("{link}", letter.link)
    mail = MIMEText(body.replace("{name}", name), "plain", "utf-8", policy=_UNFOLDED)
    mail["From"] = sender
    mail["To"] = letter.address
    # Folded by Header: EmailMessage loses spaces between Cyrillic words (Python 3.11).
    mail["Subject"] = Header(words.subject.replace("{name}", name), "utf-8").encode()
    mail["Date"] = formatdate()
    mail["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2].strip(" >"))
    mail["Content-Language"] = language
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday notice comes back
    if letter.kind != "ended":
        mail["List-Unsubscribe"] = f"<{letter.link}/withdraw>"
        mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"  # RFC 8058
    return mail
