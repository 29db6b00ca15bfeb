#include "harness.h"

#define GUARD 64
#define PAINT 0xA5

void broken(const char *file, int line, const char *rule) {
    fprintf(stderr, "%s:%d: violated: %s\n", file, line, rule);
    abort();
}

size_t step_of(const steps *how) {
    return 1 + how->step[0] + 256u * how->step[1];
}

static int is_status(diskimg_status status) {
    return strcmp(diskimg_status_name(status), "unknown") != 0;
}

void check_error(diskimg_status status, diskimg_error *error) {
    uint64_t offset = 7, guest_offset = 7;
    const char *message = diskimg_error_message(error);
    MUST(error != UNTOUCHED(diskimg_error));
    MUST(is_status(status) && status != DISKIMG_ERR_INTERNAL);
    MUST((status == DISKIMG_OK) == (error == NULL));
    MUST(diskimg_error_status(error) == status);
    MUST(diskimg_error_os_code(error) >= 0);
    MUST((message[0] == '\0') == (error == NULL));
    for (; *message != '\0'; message++) {
        MUST((unsigned char)*message >= ' ' && *message != 127);
    }
    MUST(diskimg_error_offset(error, &offset) || offset == 7);
    MUST(diskimg_error_guest_offset(error, &guest_offset) || guest_offset == 7);
    MUST(diskimg_error_hint(error) == NULL || diskimg_error_hint(error)[0] != '\0');
    diskimg_error_free(error);
}

room new_room(size_t length) {
    room made = {malloc(length + 2 * GUARD), length};
    MUST(made.bytes != NULL);
    memset(made.bytes, PAINT, length + 2 * GUARD);
    made.bytes += GUARD;
    return made;
}

static int painted(const unsigned char *bytes, size_t length) {
    while (length > 0 && *bytes == PAINT) {
        bytes++, length--;
    }
    return length == 0;
}

void free_room(room of) {
    MUST(painted(of.bytes - GUARD, GUARD));
    MUST(painted(of.bytes + of.length, GUARD));
    free(of.bytes - GUARD);
}

size_t odd_size(const steps *how, size_t own) {
    /* Larger than any accepted size, but not too large to allocate. */
    static const size_t odd[] = {0, 1, 7, 8, 9, 16, 24, 4096, 4097, 5000, SIZE_MAX};
    unsigned choice = how->struct_size;
    if (choice == 0) {
        return own;
    }
    if (choice - 1 < sizeof odd / sizeof odd[0]) {
        return odd[choice - 1];
    }
    return choice;
}

/* Larger sizes are rejected before any other member is read. */
#define LARGEST_RECORD 4096

room new_record(size_t own, size_t said) {
    size_t length = said > LARGEST_RECORD ? own : said;
    room made = new_room(length < sizeof said ? sizeof said : length);
    memcpy(made.bytes, &said, sizeof said);
    return made;
}

void check_record(const room *of, size_t own, size_t said, diskimg_status status) {
    size_t at, kept;
    memcpy(&kept, of->bytes, sizeof kept);
    MUST(kept == said);
    MUST((said >= sizeof said && said <= LARGEST_RECORD) || status != DISKIMG_OK);
    for (at = own; at < of->length && status == DISKIMG_OK; at++) {
        MUST(of->bytes[at] == 0);
    }
    MUST(status == DISKIMG_OK || painted(of->bytes + sizeof said, of->length - sizeof said));
}

room odd_copy(const steps *how, const void *record, size_t own, int *valid) {
    static const size_t odd[] = {0, 7, 4097, SIZE_MAX};
    unsigned choice = how->struct_size % 8;
    size_t tail = choice == 5 || choice == 6 ? 24 : 0, said = own + tail;
    room made = new_room(said);
    *valid = choice == 0 || choice == 5 || choice == 7;
    if (choice >= 1 && choice <= 4) {
        said = odd[choice - 1];
    }
    memcpy(made.bytes, record, own);
    memset(made.bytes + own, choice == 6 ? 1 : 0, tail);
    memcpy(made.bytes, &said, sizeof said);
    return made;
}

diskimg_open_options opening(const steps *how) {
    diskimg_open_options options = DISKIMG_OPEN_OPTIONS_INIT;
    options.flags = how->open_flags;
    options.format = how->format;
    options.max_virtual_size = LARGEST;
    options.max_cache = 1 << 20;
    options.max_decoder_memory = 16 << 20;
    options.max_temporary = 2 * LARGEST;
    options.max_depth = 2;
    options.threads = 1;
    return options;
}
