"""Every sentence of the gallery, in both languages; nothing else of it is worded elsewhere.

A text is a sentence, or a sentence a plural category. `{…}` is filled in by the page or, for
those of SCRIPT_TEXTS, by its script.
"""

from api.gallery.plurals import Language, choose_category
from api.gallery.script_texts import SCRIPT_TEXTS

Text = str | dict[str, str]

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
