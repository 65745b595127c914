"""The gallery's sentences in both languages, and the choice of the language a guest reads.

A text is one sentence, or one for each plural category (1 фото, 2 фото, 5 фото; the categories are
CLDR's, as in a browser's Intl). `{…}` is filled in by the page, or by its script for SCRIPT_TEXTS.
"""

from typing import Literal

Language = Literal["ru", "en"]
Category = Literal["one", "few", "many", "other"]
Text = str | dict[str, str]

# Which forms a language has for whole numbers.
CATEGORIES: dict[Language, tuple[Category, ...]] = {
    "ru": ("one", "few", "many"),
    "en": ("one", "other"),
}
DEFAULT: Language = "en"
# Readers of these languages read Russian rather than English.
_SPOKEN: dict[str, Language] = {"en": "en", "ru": "ru", "be": "ru", "uk": "ru", "kk": "ru"}

SCRIPT_TEXTS: dict[str, dict[Language, Text]] = {
    "need_consent": {
        "ru": "Сначала отметьте согласие: без него мы не ищем.",
        "en": "Please tick your consent first: we do not search without it.",
    },
    "searching": {"ru": "Ищем вас…", "en": "Looking for you…"},
    "found": {
        "ru": {
            "one": "Нашли вас на {n} фото",
            "few": "Нашли вас на {n} фото",
            "many": "Нашли вас на {n} фото",
        },
        "en": {"one": "Found you in {n} photo", "other": "Found you in {n} photos"},
    },
    "found_none": {
        "ru": "На этих фотографиях вас не нашлось",
        "en": "You were not found in these photos",
    },
    "found_none_lead": {
        "ru": "Попробуйте другое селфи: лицо прямо, хороший свет, без тёмных очков.",
        "en": "Try another selfie: face the camera, in good light, without sunglasses.",
    },
    "download_all": {
        "ru": {
            "one": "Скачать {n} оригинал (zip)",
            "few": "Скачать {n} оригинала (zip)",
            "many": "Скачать {n} оригиналов (zip)",
        },
        "en": {"one": "Download {n} original (zip)", "other": "Download {n} originals (zip)"},
    },
    "face_number": {"ru": "Лицо {n} из {total}", "en": "Face {n} of {total}"},
    "faces_in_picture": {
        "ru": {
            "one": "На снимке {n} лицо",
            "few": "На снимке {n} лица",
            "many": "На снимке {n} лиц",
        },
        "en": {"one": "{n} face in the picture", "other": "{n} faces in the picture"},
    },
    "photo_alt_found": {"ru": "Фото с вами: {name}", "en": "Photo with you: {name}"},
    "position": {"ru": "{n} из {total}", "en": "{n} of {total}"},
    "photo_broken": {"ru": "Снимок не загрузился", "en": "This picture did not load"},
    "error_not_an_image": {
        "ru": "Этот файл не похож на фотографию. Выберите снимок JPEG, PNG или WebP.",
        "en": "This file is not a photo we can read. Choose a JPEG, PNG or WebP picture.",
    },
    "error_no_face": {
        "ru": "На снимке не видно лица. Снимитесь прямо, при хорошем свете.",
        "en": "No face can be seen in this picture. Face the camera, in good light.",
    },
    "error_several_faces": {
        "ru": "На снимке несколько лиц. Выберите своё.",
        "en": "There are several faces in the picture. Choose yours.",
    },
    "error_face_too_small": {
        "ru": "Лицо слишком мелкое. Подойдите ближе или выберите снимок крупнее.",
        "en": "The face is too small. Come closer, or choose a larger picture.",
    },
    "error_face_too_blurred": {
        "ru": "Лицо размыто. Держите телефон неподвижно и снимите ещё раз.",
        "en": "The face is blurred. Hold the phone still and take it again.",
    },
    "error_too_many_pixels": {
        "ru": "Снимок слишком большой. Выберите снимок поменьше.",
        "en": "This picture is too large. Choose a smaller one.",
    },
    "error_too_many_bytes": {
        "ru": "Файл слишком большой. Выберите снимок поменьше.",
        "en": "This file is too large. Choose a smaller one.",
    },
    "error_needs_sync": {
        "ru": "Фотографии готовятся к поиску заново. Попробуйте немного позже.",
        "en": "The photos are being made searchable anew. Try again a little later.",
    },
    "error_too_often": {
        "ru": "Слишком много запросов подряд. Подождите минуту и попробуйте снова.",
        "en": "Too many searches in a row. Wait a minute and try again.",
    },
    "error_lost": {
        "ru": "Ссылка больше не работает. Попросите у фотографа новую.",
        "en": "This link no longer works. Ask the photographer for a new one.",
    },
    "error_offline": {
        "ru": "Нет связи. Проверьте интернет и попробуйте снова.",
        "en": "No connection. Check your internet and try again.",
    },
    "error_unknown": {
        "ru": "Не получилось. Попробуйте ещё раз через минуту.",
        "en": "That did not work. Try again in a minute.",
    },
    "error_key": {"ru": "Этот ключ не подходит.", "en": "This key is not known."},
    "report_loading": {"ru": "Собираем отчёт…", "en": "Preparing the report…"},
    "report_failed": {"ru": "Не прочитались", "en": "Could not be read"},
    "report_no_face": {"ru": "Без лиц", "en": "Without a face"},
    "report_original_missing": {"ru": "Нет оригинала", "en": "Original missing"},
    "report_nothing": {"ru": "Таких нет.", "en": "None."},
    "reason_not_an_image": {"ru": "это не изображение", "en": "not an image"},
    "reason_truncated": {
        "ru": "файл оборван: загрузите его снова",
        "en": "cut off: upload it again",
    },
    "reason_empty": {"ru": "файл пуст: загрузите его снова", "en": "empty: upload it again"},
    "reason_too_many_pixels": {"ru": "слишком много пикселей", "en": "too many pixels"},
    "reason_too_many_bytes": {"ru": "файл слишком большой", "en": "the file is too large"},
    "reason_unprocessable": {
        "ru": "поиск лиц на нём не удался: сохраните его заново",
        "en": "looking for faces in it failed: save it anew",
    },
    "reason_forbidden": {
        "ru": "хранилище не даёт его прочитать",
        "en": "the storage refuses to hand it out",
    },
    "reason_vanished": {
        "ru": "исчез из хранилища во время синхронизации",
        "en": "vanished from the storage during the sync",
    },
    "reason_no_face_detected": {"ru": "лиц не найдено", "en": "no face was found"},
    "reason_original_missing": {
        "ru": "загрузите файл с тем же именем в originals/",
        "en": "upload a file of the same name to originals/",
    },
}
PAGE_TEXTS: dict[str, dict[Language, Text]] = {
    "photos": {
        "ru": {"one": "{n} фото", "few": "{n} фото", "many": "{n} фото"},
        "en": {"one": "{n} photo", "other": "{n} photos"},
    },
    "skip": {"ru": "К фотографиям", "en": "Skip to the photos"},
    "other_language": {"ru": "English", "en": "Русский"},
    "syncing": {"ru": "Фотографии ещё добавляются.", "en": "Photos are still being added."},
    "reload": {"ru": "Показать новые", "en": "Show the new ones"},
    "find_title": {"ru": "Найдите себя", "en": "Find yourself"},
    "find_lead": {
        "ru": "Одно селфи — и вы увидите все снимки, на которых есть вы.",
        "en": "One selfie, and you see every photo you are in.",
    },
    "consent": {
        "ru": "Даю согласие на поиск по моему лицу среди фотографий этого события. "
        "Селфи нужно только для поиска и не сохраняется.",
        "en": "I agree that my face is searched for in this event's photos. "
        "The selfie is used for this search only and is not kept.",
    },
    "take_selfie": {"ru": "Сделать селфи", "en": "Take a selfie"},
    "choose_file": {"ru": "Выбрать фото", "en": "Choose a photo"},
    "needs_script": {
        "ru": "Для поиска по селфи включите JavaScript в браузере; все фотографии — ниже.",
        "en": "To search by selfie, switch on JavaScript; all photos are below.",
    },
    "all_photos": {"ru": "Все фотографии", "en": "All photos"},
    "show_all": {"ru": "Показать все фотографии", "en": "Show all photos"},
    "try_again": {"ru": "Искать по другому селфи", "en": "Search with another selfie"},
    "surely_title": {"ru": "Это вы", "en": "This is you"},
    "maybe_title": {"ru": "Возможно, это вы", "en": "This may be you"},
    "maybe_lead": {
        "ru": "Здесь мы уверены меньше: посмотрите сами.",
        "en": "We are less sure of these: see for yourself.",
    },
    "show_more": {"ru": "Показать ещё", "en": "Show more"},
    "photo_alt": {"ru": "Фото {name}", "en": "Photo {name}"},
    "empty": {
        "ru": "Здесь пока нет фотографий. Загляните чуть позже: ссылка останется той же.",
        "en": "There are no photos here yet. Come back a little later: the link stays the same.",
    },
    "which_face": {"ru": "Кто из них вы?", "en": "Which one is you?"},
    "which_face_lead": {
        "ru": "Выберите своё.",
        "en": "Choose yours.",
    },
    "cancel": {"ru": "Отмена", "en": "Cancel"},
    "viewer": {"ru": "Просмотр фотографии", "en": "Photo viewer"},
    "close": {"ru": "Закрыть", "en": "Close"},
    "previous": {"ru": "Предыдущее фото", "en": "Previous photo"},
    "next": {"ru": "Следующее фото", "en": "Next photo"},
    "show_face": {"ru": "Показать лицо", "en": "Show the face"},
    "download_one": {"ru": "Скачать оригинал", "en": "Download the original"},
    "privacy_title": {"ru": "Ваши данные", "en": "Your data"},
    "privacy_selfie": {
        "ru": "Селфи живёт только в памяти, пока идёт поиск: ни снимок, ни его цифровой "
        "отпечаток не сохраняются и не попадают в журналы.",
        "en": "Your selfie stays in memory for the search only: neither the picture nor its "
        "fingerprint is stored or logged.",
    },
    "privacy_faces": {
        "ru": "Для поиска у каждого лица на фотографиях этого события хранится цифровой отпечаток. "
        "Его можно стереть.",
        "en": "To be searchable, each face in this event's photos has a fingerprint stored. "
        "It can be erased.",
    },
    "privacy_contact": {
        "ru": "За данные отвечает фотограф или организатор, который дал вам эту ссылку. Чтобы "
        "убрать фото или стереть данные о вашем лице, напишите ему.",
        "en": "The photographer or host who gave you this link is responsible for the data. To "
        "have a photo taken down or your face's data erased, write to them.",
    },
    "for_photographer": {"ru": "Для фотографа", "en": "For the photographer"},
    "photographer_lead": {
        "ru": "С ключом API видно, какие фотографии не прочитались и почему.",
        "en": "With an API key, see which photos could not be read, and why.",
    },
    "api_key": {"ru": "Ключ API", "en": "API key"},
    "api_key_note": {
        "ru": "Хранится только в этой вкладке браузера.",
        "en": "Kept in this browser tab only.",
    },
    "show_report": {"ru": "Показать отчёт", "en": "Show the report"},
    "lost_title": {"ru": "Ссылка не работает", "en": "This link does not work"},
    "lost": {
        "ru": "Возможно, она устарела или скопирована не целиком. Попросите у фотографа новую.",
        "en": "It may have expired, or not been copied whole. Ask the photographer for a new one.",
    },
    "away_title": {"ru": "Сейчас не получается", "en": "Not available right now"},
    "away": {
        "ru": "Галерея временно недоступна. Фотографии на месте: попробуйте через пару минут.",
        "en": "The gallery is away for a moment. The photos are safe: try again in a few minutes.",
    },
    "zip_missing_name": {"ru": "НЕ ХВАТАЕТ.txt", "en": "MISSING.txt"},
    "zip_missing": {
        "ru": "Этих оригиналов сейчас нет в хранилище; спросите о них у фотографа:",
        "en": "These originals are not in the storage at the moment; ask the photographer:",
    },
}
CATALOGUE: dict[str, dict[Language, Text]] = PAGE_TEXTS | SCRIPT_TEXTS


def tell(language: Language, key: str, count: int | None = None, **values: object) -> str:
    """A text, filled in; `count` chooses the plural form and stands as {n}."""
    text = CATALOGUE[key][language]
    if isinstance(text, dict):
        text = text[choose_category(language, count or 0)]
    return text.format(n=count, **values)


def list_script_texts(language: Language) -> dict[str, Text]:
    """What the page's script says."""
    return {key: text[language] for key, text in SCRIPT_TEXTS.items()}


def choose_category(language: Language, count: int) -> Category:
    """The plural category of a count, which is 0 or more."""
    if language == "en":
        return "one" if count == 1 else "other"
    last, last_two = count % 10, count % 100
    if last == 1 and last_two != 11:
        return "one"
    if last in {2, 3, 4} and last_two not in {12, 13, 14}:
        return "few"
    return "many"


def choose_language(chosen: str | None, accepted: str | None) -> Language:
    """The page's language, from `?lang=` and the Accept-Language header (RFC 9110)."""
    if chosen in {"ru", "en"}:
        return _SPOKEN[chosen]
    ranked = sorted(_read_ranges(accepted or ""), key=lambda item: -item[1])
    for tag, weight in ranked:
        language = _SPOKEN.get(tag.partition("-")[0].lower())
        if language and weight > 0:
            return language
    return DEFAULT


def _read_ranges(header: str) -> list[tuple[str, float]]:
    """Language tags with their weights; what cannot be read weighs nothing."""
    ranges = []
    for part in header[:1000].split(","):
        tag, _, parameter = part.partition(";")
        name, _, value = parameter.strip().partition("=")
        try:
            weight = float(value) if name.strip() == "q" else 1.0
        except ValueError:
            weight = 0.0
        ranges.append((tag.strip(), weight))
    return ranges
