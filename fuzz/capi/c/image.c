/* Calls every function on an image, and checks the results against the header. */
#include "harness.h"

/* The number of extents to check, because each may require decompressing a cluster. */
#define EXTENTS 4096

typedef struct disk {
    const diskimg_image *image;
    const steps *how;
    uint64_t size;
    room whole; /* no bytes if the disk cannot be read */
    int steady;
} disk;

static void ask_for_claims(const disk *of) {
    size_t said = odd_size(of->how, sizeof(diskimg_info));
    room claims = new_record(sizeof(diskimg_info), said);
    diskimg_info info = DISKIMG_INFO_INIT;
    diskimg_status status;
    char *json;

    TRY(status, diskimg_get_info(of->image, (diskimg_info *)claims.bytes, &error));
    check_record(&claims, sizeof info, said, status);
    MUST(status == DISKIMG_OK || said < sizeof said || said > 4096);
    free_room(claims);
    MUST(diskimg_get_info(of->image, &info, NULL) == DISKIMG_OK);
    MUST(diskimg_format_name(info.format) != NULL);
    OPEN(status, json, diskimg_info_json(of->image, of->how->length & 1 ? "a name" : NULL, &json, &error));
    MUST(status == DISKIMG_OK && json[0] == '{' && json[strlen(json) - 1] == '}');
    diskimg_string_free(json);
    OPEN(status, json, diskimg_info_json(of->image, "\xff", &json, &error));
    MUST(status == DISKIMG_ERR_INVALID_ARGUMENT);
}

static void ask_for_references(const disk *of) {
    size_t at, count = diskimg_reference_count(of->image), said = odd_size(of->how, sizeof(diskimg_reference));
    diskimg_reference reference = DISKIMG_REFERENCE_INIT;
    diskimg_status status;

    for (at = 0; at <= count; at++) {
        room odd = new_record(sizeof reference, said);
        TRY(status, diskimg_get_reference(of->image, at, (diskimg_reference *)odd.bytes, &error));
        check_record(&odd, sizeof reference, said, status);
        free_room(odd);
        status = diskimg_get_reference(of->image, at, &reference, NULL);
        MUST(status == (at < count ? DISKIMG_OK : DISKIMG_ERR_INVALID_ARGUMENT));
        MUST(reference.name == NULL || reference.name[reference.name_length] == '\0');
    }
}

static void ask_for_snapshots_and_findings(const disk *of) {
    size_t at, count = diskimg_snapshot_count(of->image);
    diskimg_snapshot snapshot = DISKIMG_SNAPSHOT_INIT;
    diskimg_finding finding = DISKIMG_FINDING_INIT;
    diskimg_status status;

    for (at = 0; at <= count; at++) {
        TRY(status, diskimg_get_snapshot(of->image, at, &snapshot, &error));
        MUST(status == (at < count ? DISKIMG_OK : DISKIMG_ERR_INVALID_ARGUMENT));
        MUST(count == 0 || (snapshot.id != NULL && snapshot.name != NULL));
    }
    count = diskimg_finding_count(of->image);
    for (at = 0; at <= count; at++) {
        const char *message;
        TRY(status, diskimg_get_finding(of->image, at, &finding, &error));
        MUST(status == (at < count ? DISKIMG_OK : DISKIMG_ERR_INVALID_ARGUMENT));
        for (message = finding.message; message != NULL && *message != '\0'; message++) {
            MUST((unsigned char)*message >= ' ' && *message != 127);
        }
    }
}

/* Reads `len` bytes at `offset`, and compares them with the whole disk. */
static void read_part(const disk *of, uint64_t offset, size_t len) {
    uint64_t left = offset < of->size ? of->size - offset : 0;
    size_t expected = left < len ? (size_t)left : len, read = 12345;
    room part = new_room(len);
    diskimg_status status;

    TRY(status, diskimg_pread(of->image, part.bytes, len, offset, &read, &error));
    MUST(read == (status == DISKIMG_OK ? expected : 0));
    MUST(!of->steady || of->whole.length == 0 || status == DISKIMG_OK);
    if (of->steady && of->whole.length > 0 && expected > 0) {
        MUST(memcmp(part.bytes, of->whole.bytes + offset, expected) == 0);
    }
    TRY(status, diskimg_pread(of->image, part.bytes, len, offset, NULL, &error));
    MUST(status != DISKIMG_OK || (len <= left && offset <= of->size));
    MUST(!of->steady || of->whole.length == 0 || (status == DISKIMG_OK) == (len <= left && offset <= of->size));
    free_room(part);
}

static void read_at_edges(const disk *of) {
    const steps *how = of->how;
    uint64_t somewhere = (uint64_t)((how->offset[0] + 256u * how->offset[1]) / 65536.0 * (double)of->size);
    read_part(of, somewhere, how->length);
    read_part(of, somewhere, 3000);
    read_part(of, of->size - (of->size > 0), 1);
    read_part(of, of->size - (of->size > 0), 10);
    read_part(of, of->size, 0);
    read_part(of, of->size, 1);
    read_part(of, UINT64_MAX, 2);
    read_part(of, UINT64_MAX - 10, 10);
}

static int zeros(const unsigned char *bytes, uint64_t length) {
    return length == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, (size_t)length - 1) == 0);
}

static void check_extent(const disk *of, const diskimg_extent *run, uint64_t next, uint64_t end) {
    unsigned kind = run->flags & (DISKIMG_EXTENT_DATA | DISKIMG_EXTENT_ZERO);
    MUST(run->start == next && run->length > 0 && run->length <= end - next);
    MUST(kind == DISKIMG_EXTENT_DATA || kind == DISKIMG_EXTENT_ZERO);
    MUST((run->flags & ~31u) == 0 && ((run->flags & DISKIMG_EXTENT_HAS_OFFSET) || run->file_offset == 0));
    if (of->steady && kind == DISKIMG_EXTENT_ZERO && of->whole.length > 0) {
        MUST(zeros(of->whole.bytes + run->start, run->length));
    }
}

/* Walks from `start` to `end` with room for `cap` extents at a time. */
static void walk_extents(const disk *of, uint64_t start, uint64_t end, size_t cap) {
    size_t seen = 0, count, at;
    diskimg_status status;

    while (start < end && seen < EXTENTS) {
        room runs = new_room(cap * sizeof(diskimg_extent));
        const diskimg_extent *run = (const diskimg_extent *)runs.bytes;
        count = 12345;
        TRY(status, diskimg_extents(of->image, start, end - start, (diskimg_extent *)runs.bytes, cap, &count, &error));
        MUST(status == DISKIMG_OK ? count > 0 && count <= cap : count == 0);
        MUST(status == DISKIMG_OK || !of->steady || of->whole.length == 0);
        for (at = 0; at < count; at++) {
            check_extent(of, &run[at], start, end);
            start += run[at].length;
        }
        MUST(count == cap || status != DISKIMG_OK || start == end);
        seen += count == 0 ? EXTENTS : count;
        free_room(runs);
    }
}

static void ask_for_extents(const disk *of) {
    diskimg_extent run;
    diskimg_status status;
    size_t count = 12345;

    walk_extents(of, 0, of->size, of->how->room + 1u);
    walk_extents(of, of->size / 3, of->size / 2, 1);
    TRY(status, diskimg_extents(of->image, of->size, 1, &run, 1, &count, &error));
    MUST(status == DISKIMG_ERR_OUT_OF_BOUNDS && count == 0);
    TRY(status, diskimg_extents(of->image, of->size, 0, &run, 1, &count, &error));
    MUST(status == DISKIMG_OK && count == 0);
    TRY(status, diskimg_extents(of->image, 0, of->size, &run, 0, &count, &error));
    MUST(status == DISKIMG_ERR_INVALID_ARGUMENT && count == 0);
}

static int count_problem(void *user, int kind, uint64_t file_offset, const char *message) {
    stopper *state = user;
    (void)file_offset;
    MUST(kind == DISKIMG_PROBLEM_CORRUPTION || kind == DISKIMG_PROBLEM_LEAK);
    MUST(message[0] != '\0' && !state->stopped);
    state->stopped = ++state->calls == state->stop_at;
    return state->stopped;
}

static void check_structure(const disk *of) {
    size_t said = odd_size(of->how, sizeof(diskimg_check_result));
    room result = new_record(sizeof(diskimg_check_result), said);
    stopper state = stopping(of->how);
    diskimg_check_result *found = (diskimg_check_result *)result.bytes;
    diskimg_check_options checking = DISKIMG_CHECK_OPTIONS_INIT;
    diskimg_status status;

    checking.problem = count_problem;
    checking.problem_user = &state;
    TRY(status, diskimg_check(of->image, &checking, found, &error));
    check_record(&result, sizeof *found, said, status);
    MUST(state.stopped ? status == DISKIMG_ERR_CANCELLED : status != DISKIMG_ERR_CANCELLED);
    MUST(state.calls <= 1000);
    if (status == DISKIMG_OK && said >= sizeof *found) {
        MUST(found->corruptions + found->leaks >= (uint64_t)(state.calls > 0));
    }
    free_room(result);
}

static void compare_with_itself(const disk *of) {
    diskimg_cancel *cancel = diskimg_cancel_new();
    diskimg_compare_options comparing = DISKIMG_COMPARE_OPTIONS_INIT;
    diskimg_check_options checking = DISKIMG_CHECK_OPTIONS_INIT;
    diskimg_status status;
    uint64_t first = 7;
    bool same = false;

    comparing.cancel = checking.cancel = cancel;
    TRY(status, diskimg_compare(of->image, of->image, &comparing, &same, &first, &error));
    if (of->steady && status == DISKIMG_OK) {
        MUST(same && first == UINT64_MAX);
    }
    MUST(!of->steady || of->whole.length == 0 || status == DISKIMG_OK);
    diskimg_cancel_trigger(cancel);
    same = true;
    TRY(status, diskimg_compare(of->image, of->image, &comparing, &same, NULL, &error));
    MUST(status != DISKIMG_OK && !same);
    TRY(status, diskimg_check(of->image, &checking, NULL, &error));
    MUST(status != DISKIMG_OK);
    diskimg_cancel_free(cancel);
}

static void measure(const disk *of) {
    diskimg_convert_options options = converting(of->how);
    uint64_t required = 7, full = 7;
    diskimg_status status;

    TRY(status, diskimg_measure(of->image, &options, &required, &full, &error));
    MUST(status == DISKIMG_OK ? required <= full : required == 0 && full == 0);
    TRY(status, diskimg_measure(of->image, NULL, NULL, &full, &error));
    MUST(status != DISKIMG_OK || full >= of->size);
}

/* An image opened for its description only cannot be read. */
static void only_look(const disk *of) {
    unsigned char byte;
    size_t count;
    diskimg_extent run;

    MUST(diskimg_pread(of->image, &byte, 1, 0, NULL, NULL) == DISKIMG_ERR_INVALID_ARGUMENT);
    MUST(diskimg_extents(of->image, 0, 1, &run, 1, &count, NULL) == DISKIMG_ERR_INVALID_ARGUMENT);
    MUST(diskimg_check(of->image, NULL, NULL, NULL) == DISKIMG_ERR_INVALID_ARGUMENT);
    MUST(diskimg_measure(of->image, NULL, NULL, NULL, NULL) == DISKIMG_ERR_INVALID_ARGUMENT);
}

void use_image(const diskimg_image *image, const steps *how, int steady) {
    disk of = {image, how, diskimg_size(image), {NULL, 0}, steady};
    size_t read = 0;

    ask_for_claims(&of);
    ask_for_references(&of);
    ask_for_snapshots_and_findings(&of);
    if (how->open_flags & DISKIMG_OPEN_INFO_ONLY) {
        only_look(&of);
        return;
    }
    MUST(of.size <= LARGEST);
    of.whole = new_room((size_t)of.size);
    if (diskimg_pread(image, of.whole.bytes, of.whole.length, 0, &read, NULL) != DISKIMG_OK) {
        free_room(of.whole);
        of.whole.length = 0;
        of.whole.bytes = NULL;
    }
    read_at_edges(&of);
    ask_for_extents(&of);
    check_structure(&of);
    measure(&of);
    compare_with_itself(&of);
    if (of.whole.bytes != NULL) {
        free_room(of.whole);
    }
    convert_image(image, how, steady);
}
