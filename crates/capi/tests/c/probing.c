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

static void all(void) {
    format_is_reported_once_it_is_certain();
    size_of_a_raw_disk_is_known_at_its_end();
    probe_returns_its_description_as_json();
    finished_probe_returns_the_same_result_again();
    size_is_known_only_once_it_is_final();
}

int main(int argc, char **argv) {
    return run(argc, argv, all);
}
