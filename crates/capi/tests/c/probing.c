/* Probes of streams: each value is reported as soon as it is known, and stays the same. Arguments: the images of the
 * repository, and a scratch directory. */
#include "images.h"

/* The image `name` followed by zeros, as a stream of this length. */
static memory padded(const char *name, size_t length) {
    memory file = load(images, name);
    CHECK(file.length <= length);
    file.bytes = realloc(file.bytes, length);
    CHECK(file.bytes != NULL);
    memset(file.bytes + file.length, 0, length - file.length);
    file.length = length;
    return file;
}

static void format_is_reported_once_it_is_certain(void) {
    memory file = padded("good/zstd.qcow2", 200000);
    diskimg_info info = DISKIMG_INFO_INIT, early = DISKIMG_INFO_INIT;
    diskimg_probe *probe;
    uint32_t state;
    char *json;

    GIVES(DISKIMG_OK, diskimg_probe_new(NULL, &probe, &error));
    GIVES(DISKIMG_OK, diskimg_probe_push(probe, file.bytes, 1024, &state, &error));
    CHECK(state == DISKIMG_PROBE_MORE);
    GIVES(DISKIMG_ERR_UNKNOWN_FORMAT, diskimg_probe_info(probe, &info, &error));
    GIVES(DISKIMG_ERR_UNKNOWN_FORMAT, diskimg_probe_info_json(probe, NULL, &json, &error));
    CHECK(json == NULL);
    GIVES(DISKIMG_OK, diskimg_probe_push(probe, file.bytes + 1024, 99000, &state, &error));
    CHECK(state == DISKIMG_PROBE_FORMAT || state == DISKIMG_PROBE_DONE);
    GIVES(DISKIMG_OK, diskimg_probe_info(probe, &early, &error));
    CHECK(early.format == DISKIMG_FORMAT_QCOW2 && early.virtual_size > 0);
    CHECK(early.flags & DISKIMG_INFO_SIZE_KNOWN);
    GIVES(DISKIMG_OK, diskimg_probe_push(probe, file.bytes + 100024, file.length - 100024, &state, &error));
    GIVES(DISKIMG_OK, diskimg_probe_finish(probe, &info, &error));
    CHECK(info.flags & DISKIMG_INFO_SIZE_KNOWN);
    CHECK(info.virtual_size == early.virtual_size && strcmp(info.compression, "zstd") == 0);
    diskimg_probe_free(probe);
    free(file.bytes);
}

static void size_of_a_raw_disk_is_known_at_its_end(void) {
    memory file = padded("good/mbr.raw", 200000);
    diskimg_info info = DISKIMG_INFO_INIT;
    diskimg_probe *probe;
    uint32_t state;
    char *json;

    GIVES(DISKIMG_OK, diskimg_probe_new(NULL, &probe, &error));
    GIVES(DISKIMG_OK, diskimg_probe_push(probe, file.bytes, 100000, &state, &error));
    CHECK(state == DISKIMG_PROBE_MORE);
    GIVES(DISKIMG_OK, diskimg_probe_info(probe, &info, &error));
    CHECK(info.format == DISKIMG_FORMAT_RAW && !(info.flags & DISKIMG_INFO_SIZE_KNOWN));
    GIVES(DISKIMG_OK, diskimg_probe_info_json(probe, NULL, &json, &error));
    CHECK(strstr(json, "\"raw\"") != NULL && strstr(json, "virtual-size") == NULL);
    diskimg_string_free(json);
    GIVES(DISKIMG_OK, diskimg_probe_push(probe, file.bytes + 100000, 100000, &state, &error));
    GIVES(DISKIMG_OK, diskimg_probe_finish(probe, &info, &error));
    CHECK((info.flags & DISKIMG_INFO_SIZE_KNOWN) && info.virtual_size == 200000);
    diskimg_probe_free(probe);
    free(file.bytes);
}

static void probe_returns_its_description_as_json(void) {
    memory file = load(images, "good/chain-top.qcow2");
    diskimg_probe *probe;
    diskimg_image *image;
    diskimg_open_options options = DISKIMG_OPEN_OPTIONS_INIT;
    diskimg_io io = memory_io(&file);
    char *json, *whole;

    options.flags = DISKIMG_OPEN_INFO_ONLY;
    GIVES(DISKIMG_OK, diskimg_probe_new(NULL, &probe, &error));
    GIVES(DISKIMG_OK, diskimg_probe_push(probe, file.bytes, file.length, NULL, &error));
    GIVES(DISKIMG_OK, diskimg_probe_finish(probe, NULL, &error));
    GIVES(DISKIMG_OK, diskimg_probe_info_json(probe, "top", &json, &error));
    GIVES(DISKIMG_OK, diskimg_open_io(&io, &options, &image, &error));
    GIVES(DISKIMG_OK, diskimg_info_json(image, "top", &whole, &error));
    CHECK(strstr(json, "\"virtual-size\"") != NULL && strstr(json, "chain-middle.qcow2") != NULL);
    /* Findings and references equal those of the same image in a file. */
    CHECK(strcmp(strstr(json, "\"references\""), strstr(whole, "\"references\"")) == 0);
    CHECK(strstr(json, "\"backing_file\"") != NULL);
    diskimg_string_free(json);
    diskimg_string_free(whole);
    diskimg_close(image);
    diskimg_probe_free(probe);
    free(file.bytes);
}

/* Compresses bytes as one member of gzip with stored blocks (RFC 1951, 1952). */
static memory in_gzip(const memory *file) {
    static const unsigned char header[10] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255};
    memory packed = *file;
    uint32_t crc = 0xffffffff, length = (uint32_t)file->length;
    size_t at, i, end = sizeof header;

    packed.bytes = malloc(file->length + file->length / 1000 + 64);
    CHECK(packed.bytes != NULL);
    memcpy(packed.bytes, header, sizeof header);
    for (at = 0; at < file->length; at += 60000) {
        size_t step = file->length - at < 60000 ? file->length - at : 60000;
        packed.bytes[end++] = at + step == file->length;
        packed.bytes[end++] = (unsigned char)step;
        packed.bytes[end++] = (unsigned char)(step >> 8);
        packed.bytes[end++] = (unsigned char)~step;
        packed.bytes[end++] = (unsigned char)(~step >> 8);
        memcpy(packed.bytes + end, file->bytes + at, step);
        end += step;
    }
    for (at = 0; at < file->length; at++) {
        crc ^= file->bytes[at];
        for (i = 0; i < 8; i++) {
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320 : crc >> 1;
        }
    }
    crc = ~crc;
    for (i = 0; i < 4; i++) {
        packed.bytes[end + i] = (unsigned char)(crc >> (8 * i));
        packed.bytes[end + 4 + i] = (unsigned char)(length >> (8 * i));
    }
    packed.length = packed.room = end + 8;
    return packed;
}

/* The check of the first finding about an image that is only described; "" if there is none. */
static const char *first_finding(memory *file, uint32_t flags) {
    static char check[64];
    diskimg_open_options options = DISKIMG_OPEN_OPTIONS_INIT;
    diskimg_finding finding = DISKIMG_FINDING_INIT;
    diskimg_io io = memory_io(file);
    diskimg_image *image;

    options.flags = DISKIMG_OPEN_INFO_ONLY | flags;
    GIVES(DISKIMG_OK, diskimg_open_io(&io, &options, &image, &error));
    check[0] = '\0';
    if (diskimg_finding_count(image) > 0) {
        GIVES(DISKIMG_OK, diskimg_get_finding(image, 0, &finding, &error));
        snprintf(check, sizeof check, "%s", finding.check);
    }
    diskimg_close(image);
    return check;
}

static void truncated_image_has_the_same_finding_in_gzip(void) {
    memory file = load(images, "good/deflate-16k-extended-l2.qcow2"), packed = in_gzip(&file);

    CHECK(strcmp(first_finding(&file, 0), "") == 0 && strcmp(first_finding(&packed, 0), "") == 0);
    free(packed.bytes);
    file.length = 70000;
    packed = in_gzip(&file);
    CHECK(strcmp(first_finding(&file, 0), "truncated") == 0);
    CHECK(strcmp(first_finding(&packed, 0), "truncated") == 0);
    CHECK(strcmp(first_finding(&packed, DISKIMG_OPEN_NO_TEMPORARY), "tables_not_compared") == 0);
    free(packed.bytes);
    free(file.bytes);
}

static void finished_probe_returns_the_same_result_again(void) {
    static const struct { const char *name; diskimg_status status; } cases[] = {
        {"good/v3.qcow2", DISKIMG_OK},
        {"bad/q22-l1-unaligned.qcow2", DISKIMG_ERR_CORRUPT},
        {"README.md", DISKIMG_ERR_UNKNOWN_FORMAT},
    };
    size_t i, again;

    for (i = 0; i < 3; i++) {
        memory file = load(images, cases[i].name);
        char first[512] = "";
        diskimg_probe *probe;
        GIVES(DISKIMG_OK, diskimg_probe_new(NULL, &probe, &error));
        GIVES(DISKIMG_OK, diskimg_probe_push(probe, file.bytes, file.length, NULL, &error));
        for (again = 0; again < 4; again++) {
            diskimg_info info = DISKIMG_INFO_INIT;
            diskimg_error *error;
            uint64_t at = 0;
            diskimg_status status = again == 3   ? diskimg_probe_info(probe, &info, &error)
                                    : again == 1 ? diskimg_probe_finish(probe, NULL, &error)
                                                 : diskimg_probe_finish(probe, &info, &error);
            CHECK(status == cases[i].status);
            CHECK(status != DISKIMG_OK || again == 1 || (info.virtual_size > 0 && info.format == DISKIMG_FORMAT_QCOW2));
            CHECK(status != DISKIMG_ERR_CORRUPT || (diskimg_error_offset(error, &at) && at == 40));
            if (again == 0) {
                snprintf(first, sizeof first, "%s", diskimg_error_message(error));
            }
            CHECK(strcmp(first, diskimg_error_message(error)) == 0);
            diskimg_error_free(error);
        }
        diskimg_probe_free(probe);
        free(file.bytes);
    }
}

/* A descriptor without end: every line adds a sector. */
static void size_is_known_only_once_it_is_final(void) {
    static const char start[] = "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n"
                                "createType=\"custom\"\n";
    static const char line[] = "RW 1 ZERO\n# twenty-two bytes here\n";
    memory file = new_memory();
    uint64_t sizes[64];
    diskimg_info info = DISKIMG_INFO_INIT;
    diskimg_probe *probe;
    size_t i, at, count = 0, lines = 4000;

    memory_pwrite(&file, start, sizeof start - 1, 0);
    for (i = 0; i < lines; i++) {
        memory_pwrite(&file, line, sizeof line - 1, file.length);
    }
    GIVES(DISKIMG_OK, diskimg_probe_new(NULL, &probe, &error));
    for (at = 0; at < file.length; at += 4096) {
        size_t step = file.length - at < 4096 ? file.length - at : 4096;
        GIVES(DISKIMG_OK, diskimg_probe_push(probe, file.bytes + at, step, NULL, &error));
        if (diskimg_probe_info(probe, &info, NULL) == DISKIMG_OK && (info.flags & DISKIMG_INFO_SIZE_KNOWN)) {
            CHECK(count < 64);
            sizes[count++] = info.virtual_size;
        }
    }
    GIVES(DISKIMG_OK, diskimg_probe_finish(probe, &info, &error));
    CHECK(info.format == DISKIMG_FORMAT_VMDK && info.virtual_size == (uint64_t)lines * 512);
    for (i = 0; i < count; i++) {
        CHECK(sizes[i] == info.virtual_size);
    }
    diskimg_probe_free(probe);
    free(file.bytes);
}

/* Returns the message of an error, which it frees, in one of two places. */
static const char *message_of(diskimg_error *error) {
    static char messages[2][4096];
    static int next_place;
    char *message = messages[next_place++ % 2];
    snprintf(message, sizeof messages[0], "%s", diskimg_error_message(error));
    diskimg_error_free(error);
    return message;
}

/* Pushes chunks until the probe is done. Its description is then that of the end of the stream. */
static void check_done(const char *name, const memory *file, size_t chunk, uint32_t flags) {
    diskimg_open_options options = DISKIMG_OPEN_OPTIONS_INIT;
    diskimg_info early = DISKIMG_INFO_INIT, late = DISKIMG_INFO_INIT;
    diskimg_probe *probe;
    diskimg_error *error;
    diskimg_status before, after;
    uint32_t state = DISKIMG_PROBE_MORE;
    size_t at;

    options.flags = flags;
    GIVES(DISKIMG_OK, diskimg_probe_new(&options, &probe, &error));
    for (at = 0; at < file->length && state != DISKIMG_PROBE_DONE; at += chunk) {
        size_t len = file->length - at < chunk ? file->length - at : chunk;
        GIVES(DISKIMG_OK, diskimg_probe_push(probe, file->bytes + at, len, &state, &error));
    }
    if (state == DISKIMG_PROBE_DONE) {
        const char *said;
        before = diskimg_probe_info(probe, &early, &error);
        said = message_of(error);
        after = diskimg_probe_finish(probe, &late, &error);
        if (before != after || strcmp(said, message_of(error)) != 0 || early.virtual_size != late.virtual_size ||
            early.flags != late.flags || early.format != late.format) {
            fprintf(stderr, "%s: %s, then %s\n", name, diskimg_status_name(before), diskimg_status_name(after));
            exit(1);
        }
    }
    diskimg_probe_free(probe);
}

static void probe_that_is_done_returns_what_it_returns_at_the_end(void) {
    static const char *const directories[] = {"good", "bad"};
    static const char *const magics[] = {"vhdxfile", "QED\0", "LUKS\xba\xbe\0\1"};
    size_t i, lengths[] = {8, 4, 8};

    for (i = 0; i < 2; i++) {
        DIR *directory = opendir(in(images, directories[i]));
        const struct dirent *entry;
        CHECK(directory != NULL);
        while ((entry = readdir(directory)) != NULL) {
            char name[512];
            memory file;
            if (entry->d_name[0] == '.') {
                continue;
            }
            snprintf(name, sizeof name, "%s/%s", directories[i], entry->d_name);
            file = load(images, name);
            check_done(name, &file, 10000, 0);
            check_done(name, &file, file.length, DISKIMG_OPEN_ALLOW_RAW);
            check_done(name, &file, file.length, DISKIMG_OPEN_NO_UNWRAP);
            free(file.bytes);
        }
        closedir(directory);
    }
    for (i = 0; i < 3; i++) {
        memory file = padded("good/mbr.raw", 400000);
        diskimg_probe *probe;
        diskimg_info info = DISKIMG_INFO_INIT;
        uint32_t state;
        memset(file.bytes, 0, 400000);
        memcpy(file.bytes, magics[i], lengths[i]);
        GIVES(DISKIMG_OK, diskimg_probe_new(NULL, &probe, &error));
        GIVES(DISKIMG_OK, diskimg_probe_push(probe, file.bytes, file.length, &state, &error));
        CHECK(state == DISKIMG_PROBE_DONE);
        GIVES(DISKIMG_ERR_UNSUPPORTED, diskimg_probe_info(probe, &info, &error));
        GIVES(DISKIMG_ERR_UNSUPPORTED, diskimg_probe_finish(probe, &info, &error));
        diskimg_probe_free(probe);
        check_done(magics[i], &file, 1000, 0);
        free(file.bytes);
    }
}

static void all(void) {
    probe_that_is_done_returns_what_it_returns_at_the_end();
    format_is_reported_once_it_is_certain();
    size_of_a_raw_disk_is_known_at_its_end();
    probe_returns_its_description_as_json();
    finished_probe_returns_the_same_result_again();
    size_is_known_only_once_it_is_final();
    truncated_image_has_the_same_finding_in_gzip();
}

int main(int argc, char **argv) {
    return run(argc, argv, all);
}
