#include "adapters/offline/stopwords.h"

#include <stdlib.h>
#include <string.h>

#include "shared/error.h"

/* Closed word classes (articles, pronouns, prepositions, conjunctions, auxiliaries, the commonest
 * adverbs), folded and without accents, after Snowball's lists (https://snowballstem.org). */
static const struct {
    const char *language;
    const char *words;
} lists[STOPWORD_LANGUAGES] = {
    {"en",
     "a about above after again against ago all almost alone along already also although always am "
     "among an and another any anybody anyone anything are aren't around as at away back be became "
     "because become been before began being below between both but by came can can't cannot come "
     "could couldn't did didn't do does doesn't doing done don't down during each either else "
     "enough "
     "even ever every everybody everyone everything few for from further gave get gets getting "
     "give "
     "go goes going gone got had hadn't has hasn't have haven't having he her here hers herself "
     "him "
     "himself his how however i i'll i'm i've if in into is isn't it its itself just keep kept "
     "knew "
     "know less let let's like made make makes many may maybe me might mine more most much must my "
     "myself never no nobody none nor not nothing now of off often oh ok okay on once one ones "
     "only "
     "onto or other others our ours ourselves out over own per perhaps put quite rather really "
     "said "
     "same saw say says see seem seemed seems shall she should shouldn't since so some somebody "
     "someone something sometimes still such take than that that's the their theirs them "
     "themselves "
     "then there there's these they they're this those though through thus to together too took "
     "toward towards two uh um under until up upon us very was wasn't way we well went were "
     "weren't "
     "what what's when where whether which while who whom whose why will with within without won't "
     "would wouldn't yes yet you you're your yours yourself yourselves"},
    {"de",
     "aber alle allem allen aller alles als also am an andere anderen anderer anderes auch auf aus "
     "bei beim bin bis bist da dabei dadurch dafur damit danach dann daran darauf daruber das dass "
     "dein deine dem den denn der deren des dessen die dies diese diesem diesen dieser dieses doch "
     "dort du durch ein eine einem einen einer eines einige einmal er es etwas euch euer eure fur "
     "gegen gewesen hab habe haben hat hatte hatten hattest hier hin hinter ich ihm ihn ihnen ihr "
     "ihre ihrem ihren ihrer im immer in indem ins ist ja jede jedem jeden jeder jedes jene jetzt "
     "kann kein keine keinem keinen keiner konnen konnte konnten machen mal man manche mehr mein "
     "meine meinem meinen mich mir mit muss mussen nach nicht nichts noch nun nur ob oder ohne "
     "schon "
     "sehr sein seine seinem seinen seiner seit sich sie sind so solche soll sollen sollte sondern "
     "sonst uber um und uns unser unsere unter viel vom von vor wann war waren warum was weg weil "
     "weiter welche welchem welchen welcher wenn wer werde werden wie wieder will wir wird wirst "
     "wo "
     "wollen wurde wurden zu zum zur zwar zwischen"},
    {"fr",
     "a ai aient alors apres assez au aucun aussi autre autres aux avaient avait avant avec avez "
     "avoir avons bien car ce ceci cela celle celles celui ces cet cette ceux chaque chez comme "
     "comment dans de depuis des deux donc dont du elle elles en encore entre es est et etaient "
     "etait etant etc ete etes etre eu eux fait faire fois font furent fut ici il ils je jusque la "
     "laquelle le lequel les lesquels leur leurs lors lui ma mais me meme memes mes mien moi moins "
     "mon ne ni non nos notre nous on ont ou par parce pas pendant peu peut plus pour pourquoi "
     "pouvez quand que quel quelle quelles quels qui quoi sa sans se sera seront ses si sien soi "
     "soit sommes son sont sous suis sur ta tandis te tes toi ton tous tout toute toutes tres trop "
     "tu un une vers voici voila vos votre vous y"},
    {"es",
     "a al algo algun alguna algunas alguno algunos ante antes aquel aquella asi aun aunque cada "
     "casi como con contra cual cuales cuando cuanto de del desde donde dos durante e el ella "
     "ellas "
     "ello ellos en entonces entre era eran eres es esa esas ese eso esos esta estaba estaban "
     "estado "
     "estan estar estas este esto estos estoy fue fueron fui ha habia habian haber hace hacer "
     "hacia "
     "han hasta hay he hemos la las le les lo los mas me mi mientras mis mucho muchos muy nada ni "
     "no "
     "nos nosotros nuestra nuestras nuestro nuestros o otra otras otro otros para pero poco por "
     "porque pues que quien quienes se sea segun ser si sido sin sino sobre sois solo somos son "
     "soy "
     "su sus tal tambien tan tanto te tenemos tener tengo ti tiene tienen toda todas todo todos tu "
     "tus un una unas uno unos usted ustedes va vamos y ya yo"},
    {"it",
     "a ad agli ai al alcuni all alla alle allo anche ancora avere aveva avevano avete avuto c che "
     "chi ci cio coi col come con contro cosa cosi cui da dagli dai dal dalla dalle dallo degli "
     "dei "
     "del dell della delle dello dentro di dopo dove dunque e ed ecco egli era erano essere essi "
     "fa "
     "fare fino fra fu furono gli ha hai hanno ho i il in io la le lei li lo loro lui ma me mentre "
     "mi mia mie miei mio molto ne negli nei nel nell nella nelle nello no noi non nostra nostri "
     "nostro o ogni oltre oppure per perche pero piu po poi prima qua quale quali quando quanto "
     "quasi quella quelle quelli quello questa queste questi questo qui quindi sara se sei sempre "
     "senza si sia siamo siano siete solo sono sopra sotto sta stata stati stato su sua sue sugli "
     "sui sul sulla sulle suo suoi te ti tra tu tua tue tuo tutta tutte tutti tutto un una uno va "
     "vi voi"},
    {"pt",
     "a ainda algo alguem algum alguma algumas alguns antes ao aos apenas aquela aquele aqueles "
     "aquilo as ate cada com como contra da das de dela dele deles depois desde dessa desse desta "
     "deste do dos e ela elas ele eles em entao entre era eram essa essas esse esses esta estamos "
     "estao estar estas estava estavam este estes eu foi foram ha isso isto ja la lhe lhes mais "
     "mas "
     "me mesmo meu meus minha minhas muito muitos na nao nas nem nessa nesse nesta neste no nos "
     "nossa nossas nosso nossos num numa o onde os ou outra outras outro outros para pela pelas "
     "pelo "
     "pelos pode por porque pouco qual quando quanto que quem sao se seja sem sempre ser sera seu "
     "seus sob sobre sou sua suas tambem tao te tem tempo tenho ter teu tinha toda todas todo "
     "todos "
     "tu tua tudo um uma umas uns vai voce voces"},
    {"nl",
     "aan al alle alleen alles als altijd andere ben bij binnen daar daarom dan dat de der deze "
     "die "
     "dit doch doen door dus een eens en er ge geen geweest had hadden heb hebben heeft hem het "
     "hier "
     "hij hoe hun iemand iets ik in is ja je jij jouw kan kon konden kunnen maar me meer men met "
     "mij "
     "mijn moet moeten na naar niet niets nog nu of om omdat ons onze ook op over reeds te tegen "
     "toch "
     "toen tot tussen u uit uw van veel voor waar waarom wanneer want waren was wat we weer wel "
     "werd "
     "werden wezen wie wij wil worden wordt zal ze zelf zelfs zich zij zijn zo zonder zou zouden"},
    {"sv",
     "alla allt att av bara bli blir blev da de deg dem den denna deras dess dessa det detta dig "
     "din "
     "dina ditt du dar efter ej eller en er era ert ett for fran genom ha hade han hans har henne "
     "hennes hon honom hur har i icke igen in ingen inom inte ja jag kan kunde man med mellan men "
     "mig "
     "min mina mitt mot mycket ni nu nar nagon nagot nagra och om oss pa samma sedan sig sin sina "
     "sitt sjalv skulle som sa sadan till under upp ut utan vad var vara varfor varit varje vars "
     "vem "
     "vi vid vilka vilken vill ar aven over"},
    {"da",
     "af alle alt anden andet at bare begge blev blive bliver da de dem den denne der deres det "
     "dette "
     "dig din disse dog du efter ej eller en end er et fordi for fra gennem ham han hans har havde "
     "have hende hendes her hos hun hvad hvem hver hvilken hvis hvor hvordan hvorfor i ikke ind "
     "ingen "
     "jeg jer kan kom kunne lige man mange med meget mellem men mig min mit mod mon ned noget "
     "nogle "
     "nok nu nar og ogsa om op os over pa sa selv sig sin sine skal skulle som sadan til ud uden "
     "under var ved vi vil ville vor være været"},
    {"no",
     "alle alt andre at av bare begge ble blei bli blir da de deg dem den denne der dere deres det "
     "dette di din disse ditt du eller en enn er et etter for fordi fra fram ha hadde han hans har "
     "henne hennes her hos hun hva hvem hver hvilken hvis hvor hvordan hvorfor i ikke ikkje ingen "
     "inn "
     "ja jeg kan kom kunne man mange med meg meget mellom men mer mi min mitt mot mye na noe noen "
     "nok "
     "nar og ogsa om opp oss over pa samme seg selv si sin sine sitt skal skulle slik som sa til "
     "ut "
     "uten under var ved vi vil ville være vært vår"},
    {"fi", "ei eivat ehka ennen ettei etta han hanen he heidan hyvin ilman itse ja jo jonka jos "
           "jossa jota "
           "joka jotka joten kaikki kanssa kautta keta kuin kuinka kuka kun kuten koska kuitenkin "
           "lisaksi "
           "me meidan mika mikali mina minka minun missa mita mitka mukaan mutta myos myota ne "
           "niiden niin "
           "niita noin nyt nama oli olen olet oli olisi olla olleet ollut on olivat ovat paitsi "
           "sen se sina "
           "sinun siis siella siina sita sitten taas tai tassa te tama taman tata tuo tuon vaan "
           "vai vaikka "
           "vain viela voi voivat ykso yli"},
    {"ru",
     "а без более бы был была были было быть в вам вас весь во вот все всего всех вы где да даже "
     "для "
     "до его ее если есть еще же за здесь и из или им их к как ко когда который которые которых "
     "кто "
     "ли либо между меня мне может мы на над надо нас наш не него нее нет ни них но ну о об однако "
     "он она они оно от очень по под после потому при про с сам свои себе себя со так также такой "
     "там те тем то того тоже той только том тот ты тут у уже хотя чего чей чем что чтобы чье эта "
     "эти этим этих это этого этой этом этот эту я"},
};

enum { SLOTS = 8192 }; /* about four times the words */

struct slot {
    const char *word;
    size_t length;
    language_set languages;
};

struct stopwords {
    struct slot slots[SLOTS];
};

const char *stopwords_language(int index)
{
    return lists[index].language;
}

int stopwords_index(const char *language)
{
    if (!strcmp(language, "nb") || !strcmp(language, "nn"))
        language = "no";
    for (int i = 0; i < STOPWORD_LANGUAGES; i++)
        if (!strcmp(lists[i].language, language))
            return i;
    return -1;
}

/* FNV-1a (Fowler, Noll, Vo). */
static size_t slot_of(const char *word, size_t length)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < length; i++)
        h = (h ^ (unsigned char)word[i]) * 16777619u;
    return (h ^ h >> 15) % SLOTS;
}

static size_t find_slot(const struct stopwords *s, const char *word, size_t length)
{
    size_t at = slot_of(word, length);
    while (s->slots[at].word &&
           (s->slots[at].length != length || memcmp(s->slots[at].word, word, length)))
        at = (at + 1) % SLOTS;
    return at;
}

int stopwords_open(struct stopwords **out)
{
    struct stopwords *s = *out = calloc(1, sizeof *s);
    if (!s)
        return error_set(ERR_NO_MEMORY, NULL, "out of memory for the lists of function words");
    for (int i = 0; i < STOPWORD_LANGUAGES; i++) {
        for (const char *p = lists[i].words; *p;) {
            size_t length = strcspn(p, " ");
            struct slot *slot = &s->slots[find_slot(s, p, length)];
            slot->word = p;
            slot->length = length;
            slot->languages |= (language_set)1 << i;
            p += length + (p[length] == ' ');
        }
    }
    return OK;
}

void stopwords_close(struct stopwords *stopwords)
{
    free(stopwords);
}

language_set stopwords_find(const struct stopwords *stopwords, const char *word, size_t length)
{
    return stopwords->slots[find_slot(stopwords, word, length)].languages;
}
