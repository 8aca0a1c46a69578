"""The words by which public posts are sorted, one pattern a line, in English, Kiswahili and French; data alone.

Patterns stand for text in lower case, without accents and without apostrophes (`isn't` is `isnt`, `n'est` is `n est`),
and match whole words; `^` and `$` are the ends of a clause. Names are replaced by `app` before. The Kiswahili and
French lists are drafts and want a native reader.
"""

TROUBLE = r"""
(?:is|are|s|re|was|went|gone|been|still|totally|completely|all|services?|app|system|network) (?:\w+ ){0,2}down
down (?:again|since|for|right now|today|now)
^down$
outage
(?:not|isnt|arent|stopped) working
(?:doesnt|dont|does not|do not|wont|will not|didnt|did not) (?:work|load|open|go through|arrive|come|reflect)
not (?:loading|opening|going through|responding|received|reflected|credited|arrived)
(?:cant|cannot|can not|unable to|couldnt|could not) (?:\w+ ){0,2}(?:send|receive|log ?in|access|open)
(?:cant|cannot|can not|unable to|couldnt|could not) (?:\w+ ){0,2}(?:transfer|pay|withdraw)
(?:hasnt|has not|havent|have not|never|yet to) (?:\w+ )?(?:arrived?|received?|reflect(?:ed)?|credited|come|gone through)
(?:keeps?|keep on|is|are|all) failing
fail(?:s|ed)
stuck
hang(?:s|ing)
delay(?:s|ed)
unreachable
tim(?:ing|ed) out
timeouts?
errors?
offline
(?:debited|deducted) (?:but|and)
money (?:is )?(?:missing|lost|gone)
ha[iz]i?fanyi(?: kazi)?
(?:im|zim)ekwama
(?:im|zim)egoma
ha[iz]i?ja(?:fika|ingia|onekana|rudi)
ha[iz]i?patikani
i[kp]o chini
imeanguka
(?:ina|zina)sumbua
(?:ina|kuna|zina) (?:shida|tatizo|hitilafu)
(?:im|zim)efeli
(?:in|zin)afeli
inakataa
sija(?:pata|pokea|pewa)
hai(?:tumi|funguki)
(?:siwezi|hatuwezi|nashindwa|tunashindwa) (?:ku)?(?:tuma|pokea|toa|ingia|fungua)
(?:im|in|zim|zin)[ae]chelewa
panne
(?:marche|marchent|fonctionne|fonctionnent|charge|repond|passe|passent) (?:pas|plus)
hors service
indisponibles?
(?:bloque|coince)e?s?
plantee?
impossible (?:d|de)
(?:pas|jamais|rien) (?:\w+ )?(?:arrive|recu|credite)e?s?
echou(?:e|ent)
echecs?
erreurs?
en retard
suspendue?s?
inaccessibles?
"""

WELL = r"""
(?:is|are|now|came|come) back(?: up| online| again| now| to normal)?$
back (?:up|online|to normal)
(?<!not )(?<!isnt )(?<!arent )(?<!doesnt )(?<!dont )(?<!stopped )(?<!wont )work(?:s|ing)? (?:again|fine|well|perfectly)
(?<!not )(?<!isnt )(?<!arent )(?<!doesnt )(?<!dont )(?<!stopped )(?<!wont )work(?:s|ing)? (?:normally|for me|now|great)
restored
resolved
fixed
(?:no longer|not|isnt|arent|never|wasnt) (?:\w+ )?(?:down|stuck|failing|offline|delayed|affected)
(?:no|without|zero|any) (?:\w+ )?(?:outage|problems?|issues?|delays?|errors?|failures?|downtime)
(?:never|hasnt|didnt) (?:fails?|failed|let me down)
went through
arrived (?:in|within|at|fine)
imerudi(?: hewani| kazini| sasa)?$
(?:in|zin)afanya kazi(?: (?:tena|vizuri|sasa|kwangu))?
i[kp]o (?:sawa|vizuri)
hakuna (?:shida|tatizo|hitilafu)
ha[iz]i?na (?:shida|tatizo)
imerekebishwa
imetatuliwa
ha[iz]i?jawahi (?:\w+)
(?:im|zim)efika
haijakwama
(?:plus|pas|aucune|sans|jamais) (?:\w+ )?(?:panne|bloquee?s?|suspendue?s?|indisponibles?|en retard)
remarche(?:nt)?
refonctionne(?:nt)?
(?:marche|fonctionne)(?:nt)? (?:a nouveau|de nouveau|bien|tres bien|normalement|chez moi|maintenant)
de retour
retablie?s?
resolue?s?
reparee?s?
(?:pas de|aucun|sans|aucune|pas d) (?:problemes?|soucis?|erreurs?|retards?)
tout (?:marche|fonctionne)
bien (?:arrive|recu)e?s?
"""

# Of a clause: what it says is not of now.
PAST = r"""
yesterday
last (?:week|month|year|night|monday|friday|time)
(?:days?|weeks?|months?|years?) ago
(?:in|of|since) (?:19|20)\d\d
remember (?:when|the)
used to
jana
juzi
(?:wiki|mwezi|mwaka) (?:iliyopita|uliopita|jana)
zamani
hier
(?:semaine|annee|mois|nuit|fois) (?:derniere?|passee?)
dernier
souvenez
il y a (?:\w+ )?(?:jours|semaines|mois|ans)
"""

# Of a whole sentence: hearsay, news, what may be or is planned.
DOUBTFUL = r"""
i hear(?:d)?
heard (?:that|from)
(?:they|people|some|everyone) (?:say|says|are saying|saying)
is it true
rumou?rs?
apparently
allegedly
if
in case
whenever
would
will be
could (?:be|go)
might
imagine
tomorrow
scheduled
planned
maintenance
breaking
according to
report(?:s|ed|edly)? (?:that|by|on|says)
study
shares?
investors?
lawsuit
parliament
^rt
drill
joke
kidding
(?:na|nili|tuna|tuli)sikia
wa(?:na|me)sema
eti
ni kweli
uvumi
^kama
iwapo
ikiwa
kesho
matengenezo
utani
il parait
parait(?: il| que)
on (?:me )?dit
entendu
est ce vrai
rumeurs?
selon
^si
au cas ou
demain
prevue?
serait
sera
seront
blague
"""

# What people call the components of every platform, beside the words of the settings.
USUAL_WORDS = {
    "channel:tracking": (
        "tracking page", "tracking link", "tracking", "ukurasa wa kufuatilia", "kiungo cha kufuatilia", "page de suivi",
        "lien de suivi",
    ),
    "product:bank-to-wallet": (
        "bank to wallet", "bank transfer", "bank transfers", "from my bank", "from bank", "kutoka benki", "toka benki",
        "virement", "virements", "de ma banque", "depuis ma banque", "de la banque",
    ),
}  # fmt: skip

# Whose trouble is not ours, unless the settings say that we are called so.
USUAL_OTHERS = (
    "m-pesa", "mpesa", "airtel", "mtn", "momo", "orange money", "tigo", "mixx", "halopesa", "t-kash", "equitel", "wave",
    "safaricom", "vodacom", "telkom", "kplc", "tanesco", "paypal", "western union", "visa", "mastercard", "whatsapp",
    "facebook", "instagram", "tiktok", "twitter", "youtube", "netflix", "google", "zoom", "chatgpt",
)  # fmt: skip
