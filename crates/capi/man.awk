# Writes the manual pages of libdiskimg (section 3) from its header: libdiskimg.3 with the rules for all functions, and
# one page for each function and type. install.sh runs it.
#
#     awk -v directory=man3 -v version=0.1.0 -f crates/capi/man.awk include/diskimg.h
#
# An item is a comment of lines that begin with `//`, directly above a declaration. A paragraph that begins with "Errors:"
# becomes the section ERRORS. A page lists the constants whose prefix its text has, as in DISKIMG_OPEN_*.

BEGIN { in_rules = 1; if (directory == "") { print "man.awk: directory is not set"; exit failed = 1 } }

# The comment at the top: the rules.
in_rules && /^ \*\// { in_rules = 0; next }
in_rules && /^\/\*/ { next }
in_rules { sub(/^ \* ?/, ""); rules[++rule_count] = $0; next }

in_struct {
    if (/^\}/) { in_struct = 0; end_item(); next }
    if (/^ *\/\//) { text = $0; sub(/^ *\/\/ ?/, "", text); member_text = join_text(member_text, text); next }
    declaration[item_count] = declaration[item_count] "\n" $0
    if (/;$/) {
        members[item_count, ++member_count[item_count]] = trim($0)
        member_docs[item_count, member_count[item_count]] = member_text
        member_text = ""
    }
    next
}
in_function {
    declaration[item_count] = declaration[item_count] (declaration[item_count] == "" ? "" : "\n") $0
    if (/;$/) { in_function = 0; end_item() }
    next
}
/^\/\// { text = $0; sub(/^\/\/ ?/, "", text); comment = comment (comment == "" ? "" : "\n") (text == "" ? "\n" : text); next }
/^$/ { comment = ""; next }
/^#define DISKIMG_[A-Z0-9_]+ / && comment != "" {
    constant = $2
    value = $0
    sub(/^#define [A-Z0-9_]+ +/, "", value)
    constants[++constant_count] = constant
    constant_values[constant] = value
    constant_docs[constant] = comment
    comment = ""
    next
}
/^typedef struct [a-z_]+ \{/ { start_item($3, "type"); declaration[item_count] = $0; in_struct = 1; member_text = ""; next }
/^typedef .*\(\*/ {
    name = $0; sub(/^[^(]*\(\*/, "", name); sub(/\).*/, "", name)
    start_item(name, "type"); declaration[item_count] = $0; end_item(); next
}
/^typedef / {
    name = $NF; sub(/;/, "", name)
    start_item(name, "type"); declaration[item_count] = $0; end_item(); next
}
/^DISKIMG_API/ {
    start_item("", "function"); in_function = 1
    text = $0; sub(/^DISKIMG_API ?/, "", text)
    if (text == "") next
    declaration[item_count] = text
    if (text ~ /;$/) { in_function = 0; end_item() }
    next
}

function start_item(name, kind) {
    item_count++
    names[item_count] = name; kinds[item_count] = kind; docs[item_count] = comment
    comment = ""
}
function end_item(    name) {
    if (kinds[item_count] == "function") {
        sub(/^DISKIMG_MUST_USE\n/, "", declaration[item_count])
        name = declaration[item_count]; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name)
        names[item_count] = name
    }
    else if (declaration[item_count] ~ /\{/) declaration[item_count] = declaration[item_count] "\n} " names[item_count] ";"
    pages[names[item_count]] = item_count
}
function join_text(before, text) { return before (before == "" ? "" : "\n") (text == "" ? "\n" : text) }
function trim(text) { gsub(/^ +| +$/, "", text); return text }

# Returns the first sentence without its full stop.
function first_sentence(doc,    text) {
    text = doc; sub(/\n\n.*/, "", text); gsub(/\n/, " ", text); gsub(/`/, "", text)
    if (match(text, /[.:;] +[A-Z*`]/)) text = substr(text, 1, RSTART - 1)
    else if (match(text, /[:;] /)) text = substr(text, 1, RSTART - 1)
    sub(/\.$/, "", text)
    return text
}
# Escapes a text for roff.
function escaped(text) {
    gsub(/\\/, "\\e", text); gsub(/-/, "\\-", text)
    return text
}
# Returns a paragraph with functions, constants and names in `...` in their fonts.
function styled(text,    out, token) {
    text = escaped(text); out = ""
    while (match(text, /`[^`]+`|diskimg_[a-z0-9_]+\(\)|DISKIMG_[A-Z0-9_]+\*?/)) {
        token = substr(text, RSTART, RLENGTH)
        out = out substr(text, 1, RSTART - 1)
        text = substr(text, RSTART + RLENGTH)
        if (token ~ /^`/) out = out "\\fI" substr(token, 2, length(token) - 2) "\\fP"
        else if (token ~ /\(\)$/) out = out "\\fB" substr(token, 1, length(token) - 2) "\\fP()"
        else out = out "\\fB" token "\\fP"
    }
    return out text
}
function line(text) { print text >page }
# Writes the paragraphs of a comment. Lines that are indented by four are examples, and "- " begins an entry of a list.
function paragraphs(doc, before,    count, lines, i, text, example) {
    count = split(doc, lines, "\n"); example = 0
    if (before != "") line(before)
    for (i = 1; i <= count; i++) {
        text = lines[i]
        if (example && text !~ /^    /) { line(".fi"); line(".RE"); example = 0; if (text != "") line(".PP") }
        if (text == "") { if (i < count && lines[i + 1] != "") line(".PP") }
        else if (text ~ /^    /) {
            if (!example) { line(".RS 4"); line(".nf"); example = 1 }
            line("\\&" escaped(substr(text, 5)))
        }
        else if (text ~ /^- /) { line(".IP \\(bu 2"); line("\\&" styled(substr(text, 3))) }
        else line("\\&" styled(text))
    }
    if (example) { line(".fi"); line(".RE") }
}
function open_page(name, summary) {
    page = directory "/" name ".3"
    line(".\\\" Generated from diskimg.h. Do not edit.")
    line(".TH " toupper(name) " 3 \"\" \"diskimg " version "\" \"libdiskimg\"")
    line(".SH NAME")
    line(name " \\- " escaped(summary))
    line(".SH SYNOPSIS"); line(".nf"); line("\\fB#include <diskimg.h>\\fP"); line(".PP")
}
function declare(text,    count, lines, i) {
    if (text !~ /\{/) gsub(/struct diskimg_/, "diskimg_", text)
    count = split(text, lines, "\n")
    for (i = 1; i <= count; i++) line("\\fB" escaped(lines[i]) "\\fP")
    line(".fi")
}
# Splits a comment into the description and the paragraph about errors.
function split_errors(doc,    at) {
    errors = ""; description = doc
    at = match(doc, /(^|\n\n+)Errors: /)
    if (!at) return
    errors = substr(doc, RSTART + RLENGTH); description = substr(doc, 1, RSTART - 1)
    if (match(errors, /\n\n+/)) {
        description = description "\n\n" substr(errors, RSTART + RLENGTH)
        errors = substr(errors, 1, RSTART - 1)
    }
}
function constant_entry(name) {
    line(".TP"); line("\\fB" name "\\fP (" escaped(constant_values[name]) ")")
    paragraphs(constant_docs[name], "")
}
# Lists the constants whose prefix the text has, except those of errors.
function constant_lists(text,    i, prefix, title, rest, done) {
    title = 0; rest = text
    while (match(rest, /DISKIMG_[A-Z_]+_\*/)) {
        prefix = substr(rest, RSTART, RLENGTH - 1); rest = substr(rest, RSTART + RLENGTH)
        if (prefix == "DISKIMG_ERR_" || index(done, " " prefix " ")) continue
        done = done " " prefix " "
        for (i = 1; i <= constant_count; i++) {
            if (index(constants[i], prefix) != 1) continue
            if (!title) { line(".SH CONSTANTS"); title = 1 }
            constant_entry(constants[i])
        }
    }
}
function error_list(doc,    i, found) {
    found = errors != ""
    for (i = 1; i <= constant_count; i++)
        if (constants[i] ~ /^DISKIMG_ERR_/ && doc ~ (constants[i] "([^A-Z_]|$)")) found = 1
    if (!found) return
    line(".SH ERRORS")
    if (errors != "" && errors !~ /^DISKIMG_ERR_/) paragraphs(errors, "")
    for (i = 1; i <= constant_count; i++)
        if (constants[i] ~ /^DISKIMG_ERR_/ && doc ~ (constants[i] "([^A-Z_]|$)")) constant_entry(constants[i])
    line(".PP"); line("\\fBlibdiskimg\\fP(3) describes the other errors.")
}
function see_also(text, self,    rest, token, seen) {
    line(".SH SEE ALSO"); rest = text; seen = " " self " "
    while (match(rest, /diskimg_[a-z0-9_]+/)) {
        token = substr(rest, RSTART, RLENGTH); rest = substr(rest, RSTART + RLENGTH)
        if (!(token in pages) || index(seen, " " token " ")) continue
        seen = seen token " "
        line("\\fB" token "\\fP(3),")
    }
    line("\\fBlibdiskimg\\fP(3)")
}
function write_item(item,    i, doc, all, type) {
    doc = docs[item]; all = doc "\n" declaration[item]
    for (i = 1; i <= member_count[item]; i++) all = all "\n" member_docs[item, i]
    open_page(names[item], first_sentence(doc)); declare(declaration[item])
    split_errors(doc)
    paragraphs(description, ".SH DESCRIPTION")
    if (member_count[item]) line(".SH MEMBERS")
    for (i = 1; i <= member_count[item]; i++) {
        line(".TP"); line("\\fB" escaped(members[item, i]) "\\fP"); paragraphs(member_docs[item, i], "")
    }
    type = declaration[item]; sub(/diskimg_[a-z0-9_]+\(.*/, "", type); type = trim(type)
    if (kinds[item] == "function" && type != "void") {
        line(".SH RETURN VALUE")
        if (type == "diskimg_status") {
            line("\\fBDISKIMG_OK\\fP, or one of \\fBDISKIMG_ERR_*\\fP after a failure.")
            if (declaration[item] ~ /\*\*err/) line("Then \\fI*err\\fP receives an error with details, unless \\fIerr\\fP is NULL.")
        }
        else paragraphs(first_sentence(doc) ".", "")
    }
    error_list(doc)
    constant_lists(all)
    see_also(all, names[item])
    close(page)
}
function list_of(kind, title,    i) {
    line(".SH " title)
    for (i = 1; i <= item_count; i++) {
        if (kinds[i] != kind) continue
        line(".TP"); line("\\fB" names[i] "\\fP(3)"); line("\\&" styled(first_sentence(docs[i]) "."))
    }
}
function write_rules(    i, text, title, doc) {
    open_page("libdiskimg", first_rule()); line("\\fBcc\\fP program.c $(\\fBpkg\\-config \\-\\-cflags \\-\\-libs diskimg\\fP)"); line(".fi")
    for (i = 1; i <= rule_count; i++) doc = join_text(doc, rules[i])
    sub(/^.*libdiskimg: [^\n]*\n+/, "", doc)
    paragraphs(doc, ".SH DESCRIPTION")
    list_of("function", "FUNCTIONS")
    list_of("type", "TYPES")
    line(".SH ERRORS")
    for (i = 1; i <= constant_count; i++) if (constants[i] ~ /^DISKIMG_(ERR_|OK$)/) constant_entry(constants[i])
    close(page)
}
function first_rule(    i, text) {
    for (i = 1; i <= rule_count; i++) if (rules[i] ~ /^libdiskimg: /) { text = rules[i]; sub(/^libdiskimg: /, "", text); sub(/\.$/, "", text); return text }
}

END {
    if (failed) exit 1
    if (!rule_count || item_count < 40) { print "man.awk: the header has no rules, or fewer than 40 items"; exit 1 }
    for (i = 1; i <= item_count; i++) write_item(i)
    write_rules()
}
