"""What the page's script says, in both languages; `{…}` is filled in by the script."""

from api.gallery.plurals import Language

SCRIPT_TEXTS: dict[str, dict[Language, str | dict[str, str]]] = {
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
