"""Words for pages and screens: made up from syllables, labels of applications in several scripts, sums, dates."""

from __future__ import annotations

import random


def _split(*parts: str) -> list[str]:
    return " ".join(parts).split()


_SYLLABLES = _split(
    "ba be bo ca ce co da de di do fa fe ga go ha he ho in is ka ko la le li lo ma me mi mo na ne ni no",
    "or pa pe po ra re ri ro sa se si so ta te ti to un va ve vi wa we al an ar as at el en er es",
)
_ENDS = ("", "", "", "n", "r", "s", "t", "l", "d", "ng", "st", "ck")
_COMMON = _split(
    "the of and to in a is that for it as was with be by on not he his but at are this have from or had",
    "an they which one you were all her she there would their we him been has when who will no more if",
    "out so said what up its about than into them can only other time new some could these two may first",
    "then do any like my now over such our man me even most made after also",
)
NAMES = _split(
    "Anna Ben Clara David Elif Farid Grace Hugo Ines Jonas Kira Liam Mona Nils Olga Pavel Quinn Rosa Sven",
    "Tara",
)
SHOPS = ("MARKET", "STORES", "TRADING", "HARDWARE", "BAKERY", "PHARMACY", "BOOKS & GIFTS", "ELECTRIC", "MINI MART")
#: The same labels in each language, in one order.
LABELS: dict[str, tuple[str, ...]] = {
    "en": (
        *("Settings", "Messages", "Search", "Notifications", "Privacy", "Account", "Language", "Storage", "Sound"),
        *("Display", "Battery", "Help", "About this app", "Sign out", "Home", "Profile", "Today", "Save"),
    ),
    "de": (
        *("Einstellungen", "Nachrichten", "Suchen", "Mitteilungen", "Datenschutz", "Konto", "Sprache", "Speicher"),
        *("Töne", "Anzeige", "Akku", "Hilfe", "Über diese App", "Abmelden", "Start", "Profil", "Heute", "Sichern"),
    ),
    "fr": (
        *("Réglages", "Messages", "Rechercher", "Notifications", "Confidentialité", "Compte", "Langue", "Stockage"),
        *("Sons", "Affichage", "Batterie", "Aide", "À propos", "Déconnexion", "Accueil", "Profil", "Aujourd'hui"),
        "Enregistrer",
    ),
    "es": (
        *("Ajustes", "Mensajes", "Buscar", "Notificaciones", "Privacidad", "Cuenta", "Idioma", "Almacenamiento"),
        *("Sonido", "Pantalla", "Batería", "Ayuda", "Acerca de", "Cerrar sesión", "Inicio", "Perfil", "Hoy", "Guardar"),
    ),
    "ru": (
        *("Настройки", "Сообщения", "Поиск", "Уведомления", "Приватность", "Аккаунт", "Язык", "Хранилище", "Звук"),
        *("Экран", "Батарея", "Помощь", "О приложении", "Выйти", "Главная", "Профиль", "Сегодня", "Сохранить"),
    ),
    "el": (
        *("Ρυθμίσεις", "Μηνύματα", "Αναζήτηση", "Ειδοποιήσεις", "Απόρρητο", "Λογαριασμός", "Γλώσσα", "Χώρος"),
        *("Ήχος", "Οθόνη", "Μπαταρία", "Βοήθεια", "Σχετικά", "Αποσύνδεση", "Αρχική", "Προφίλ", "Σήμερα", "Αποθήκευση"),
    ),
    "zh": (
        *("设置", "消息", "搜索", "通知", "隐私", "账户", "语言", "存储", "声音"),
        *("显示", "电池", "帮助", "关于本应用", "退出登录", "首页", "个人资料", "今天", "保存"),
    ),
    "ja": (
        *("設定", "メッセージ", "検索", "通知", "プライバシー", "アカウント", "言語", "ストレージ", "サウンド"),
        *(
            "画面表示",
            "バッテリー",
            "ヘルプ",
            "このアプリについて",
            "ログアウト",
            "ホーム",
            "プロフィール",
            "今日",
            "保存",
        ),
    ),
    "ko": (
        *("설정", "메시지", "검색", "알림", "개인정보", "계정", "언어", "저장공간", "소리"),
        *("화면", "배터리", "도움말", "앱 정보", "로그아웃", "홈", "프로필", "오늘", "저장"),
    ),
}
_LETTERS = {
    "ru": "абвгдежзиклмнопрстуфхцчшыья",
    "el": "αβγδεζηθικλμνξοπρστυφχψω",
    "zh": "的一是不了人我在有他这中大来上国个到说们为子和你地出道也时年得就那要下以生会自着去之过家学对可她里后小么",
    "ja": "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわをん日本人語",
    "ko": "가나다라마바사아자차카타하고노도로모보소오조초구누두루무부수우주이기니디리미비시지",
}


def word(rng: random.Random, language: str = "en") -> str:
    """One that is mostly made up."""
    if language in _LETTERS:
        low, high = (1, 4) if language in ("zh", "ja", "ko") else (2, 9)
        return "".join(rng.choices(_LETTERS[language], k=rng.randint(low, high)))
    if rng.random() < 0.4:
        return rng.choice(_COMMON)
    return "".join(rng.choices(_SYLLABLES, k=rng.randint(1, 4))) + rng.choice(_ENDS)


def words(rng: random.Random, count: int, language: str = "en") -> str:
    """``count`` words, the first one with a capital."""
    found = " ".join(word(rng, language) for _ in range(count))
    return found[:1].upper() + found[1:]


def lines(rng: random.Random, count: int, letters: int, language: str = "en") -> list[str]:
    """A paragraph of ``count`` lines of at most so many letters, the last one shorter."""
    wide = 0.55 if language in ("zh", "ja", "ko") else 1.0
    found = []
    for number in range(count):
        length = letters * wide * (rng.uniform(0.3, 0.9) if number == count - 1 else 1)
        made = words(rng, 1, language) if number == 0 else word(rng, language)
        while len(made) < length - 5:
            made += " " + word(rng, language) + ("," if rng.random() < 0.07 else "")
        found.append(made + ("." if number == count - 1 else ""))
    return found


def price(rng: random.Random, most: float = 120) -> float:
    """A sum as goods have it."""
    return round(rng.uniform(0.5, most) * rng.choice([0.2, 1.0]), 2)


def date(rng: random.Random, form: str) -> str:
    """Any day of some years, as strftime writes it: of ``form`` only %d, %m, %y, %Y are known."""
    year = rng.randint(2012, 2026)
    day = f"{rng.randint(1, 28):02d}"
    made = form.replace("%d", day).replace("%m", f"{rng.randint(1, 12):02d}")
    return made.replace("%Y", str(year)).replace("%y", f"{year % 100:02d}")


def clock(rng: random.Random) -> str:
    """A time of day."""
    return f"{rng.randint(0, 23)}:{rng.randint(0, 59):02d}"


def digits(rng: random.Random, count: int) -> str:
    """So many digits, the first one no zero."""
    return str(rng.randint(10 ** (count - 1), 10**count - 1))
