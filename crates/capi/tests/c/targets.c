/* Targets, streams, parents and lists: the structures that name files and values. Arguments: the images of the
 * repository, and a scratch directory. */
#include "images.h"

static int refuse(void *user, const void *buf, size_t len) {
    (void)user, (void)buf, (void)len;
    return EPIPE;
}

static void target_is_exactly_one_place(void) {
    diskimg_image *image = open_good("mixed.qcow2");
    memory file = new_memory();
    diskimg_io io = memory_io(&file);
    unsigned places;

    for (places = 0; places < 16; places++) {
        diskimg_target target = DISKIMG_TARGET_INIT;
        diskimg_writer *writer = NULL;
        bool is_one = places == 1 || places == 2 || places == 4 || places == 8;
        int closed = file.closed;
        if (is_one) {
            continue;
        }
        target.path = places & 1 ? in(scratch, "none.raw") : NULL;
        target.fd = places & 2 ? 0 : -1;
        target.io = places & 4 ? &io : NULL;
        target.write = places & 8 ? refuse : NULL;
        GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_convert(image, &target, NULL, NULL, &error));
        CHECK(file.closed == closed + (places & 4 ? 1 : 0));
        GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_create(&target, 512, NULL, &writer, &error));
        CHECK(writer == NULL && file.closed == closed + (places & 4 ? 2 : 0));
    }
    CHECK(access(in(scratch, "none.raw"), F_OK) != 0);
    diskimg_close(image);
}

static void target_that_ends_before_fd_has_no_descriptor(void) {
    diskimg_image *image = open_good("mixed.qcow2");
    diskimg_target target = DISKIMG_TARGET_INIT;

    target.struct_size = offsetof(diskimg_target, fd);
    target.path = in(scratch, "short.raw");
    GIVES(DISKIMG_OK, diskimg_convert(image, &target, NULL, NULL, &error));
    CHECK(unlink(target.path) == 0);
    diskimg_close(image);
}

/* Checks that the message of a failure contains `text`. */
#define NAMES(text, call)                                                                   \
    do {                                                                                    \
        diskimg_error *error = NULL;                                                        \
        CHECK((call) == DISKIMG_ERR_INVALID_ARGUMENT);                                      \
        if (strstr(diskimg_error_message(error), text) == NULL) {                           \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, diskimg_error_message(error)); \
            exit(1);                                                                        \
        }                                                                                   \
        diskimg_error_free(error);                                                          \
    } while (0)

static void unknown_flags_and_reserved_members_are_named(void) {
    diskimg_image *image = open_good("mixed.qcow2"), *opened;
    diskimg_probe *probe;
    memory file = new_memory();
    diskimg_open_options opening = DISKIMG_OPEN_OPTIONS_INIT;
    diskimg_convert_options converting = DISKIMG_CONVERT_OPTIONS_INIT;
    diskimg_check_options checking = DISKIMG_CHECK_OPTIONS_INIT;
    diskimg_compare_options comparing = DISKIMG_COMPARE_OPTIONS_INIT;
    diskimg_parent parent = DISKIMG_PARENT_INIT;
    diskimg_target target = path_target(in(scratch, "none.raw"));
    diskimg_io io = memory_io(&file);
    uint64_t size;
    bool equal;
    int round;

    for (round = 0; round < 2; round++) {
        const char *text = round == 0 ? "flags is 0x40000000" : "reserved is 0x7";
        opening.flags = checking.flags = comparing.flags = converting.flags = io.flags = round == 0 ? 1u << 30 : 0;
        opening.reserved = checking.reserved = comparing.reserved = converting.reserved = io.reserved =
            round == 0 ? 0 : 7;
        NAMES(text, diskimg_open_path(in(images, "good/mixed.qcow2"), &opening, &opened, &error));
        NAMES(text, diskimg_open_memory("", 0, &opening, &opened, &error));
        NAMES(text, diskimg_probe_new(&opening, &probe, &error));
        NAMES(text, diskimg_convert(image, &target, &converting, NULL, &error));
        NAMES(text, diskimg_measure(image, &converting, &size, NULL, &error));
        NAMES(text, diskimg_check(image, &checking, NULL, &error));
        NAMES(text, diskimg_compare(image, image, &comparing, &equal, NULL, &error));
        NAMES(text, diskimg_open_io(&io, NULL, &opened, &error));
        NAMES(text, convert_to_io(image, &io, NULL, NULL, &error));
    }
    target.reserved = 7;
    NAMES("reserved is 0x7", diskimg_convert(image, &target, NULL, NULL, &error));
    parent.path = target.path;
    parent.reserved = 7;
    opening.reserved = 0;
    opening.parents = &parent;
    opening.parent_count = 1;
    NAMES("reserved is 0x7", diskimg_open_path(in(images, "good/mixed.qcow2"), &opening, &opened, &error));
    diskimg_close(image);
}

static void stream_of_another_length_than_stated_leaves_no_target(void) {
    static const char *const names[] = {"good/v3.qcow2",   "good/v3.qcow2.gz",       "good/blocks-and-streams.raw.xz",
                                        "good/disk.ova",   "good/stream.vmdk.gz", "good/iso9660.iso"};
    diskimg_open_options any = DISKIMG_OPEN_OPTIONS_INIT;
    diskimg_target target = path_target(in(scratch, "length.raw"));
    size_t i;

    any.flags = DISKIMG_OPEN_ALLOW_RAW;
    for (i = 0; i < sizeof names / sizeof *names; i++) {
        memory file = load(images, names[i]);
        int more;
        for (more = -1; more <= 1; more++) {
            memory_stream from = {NULL, 0};
            diskimg_stream stream = stream_of(memory_next, &from);
            from.file = &file;
            stream.length = file.length + (size_t)more;
            GIVES(more == 0 ? DISKIMG_OK : more < 0 ? DISKIMG_ERR_CORRUPT : DISKIMG_ERR_TRUNCATED,
                  diskimg_convert_stream(&stream, &any, &target, NULL, NULL, &error));
            CHECK((unlink(target.path) == 0) == (more == 0));
        }
        free(file.bytes);
    }
}

static void parents_replace_the_names_in_an_image(void) {
    struct {
        diskimg_parent known;
        uint64_t later;
    } parents[2] = {{DISKIMG_PARENT_INIT, 0}, {DISKIMG_PARENT_INIT, 0}};
    diskimg_open_options options = DISKIMG_OPEN_OPTIONS_INIT, search = DISKIMG_OPEN_OPTIONS_INIT;
    diskimg_image *image, *expected;
    char middle[4096], base[4096], folder[4096];

    snprintf(middle, sizeof middle, "%s/good/chain-middle.qcow2", images);
    snprintf(base, sizeof base, "%s/good/chain-base.qcow2", images);
    snprintf(folder, sizeof folder, "%s/good", images);
    options.flags = DISKIMG_OPEN_REFERENCES;
    GIVES(DISKIMG_OK, diskimg_open_path(in(images, "good/chain-top.qcow2"), &options, &expected, &error));
    options.flags = 0;
    GIVES(DISKIMG_ERR_REFERENCE, diskimg_open_path(in(images, "good/chain-top.qcow2"), &options, &image, &error));
    /* Each element is as long as the first, also if it has members of a later version. */
    parents[0].known.struct_size = parents[1].known.struct_size = sizeof parents[0];
    parents[0].known.path = middle;
    parents[1].known.path = base;
    parents[1].known.format = DISKIMG_FORMAT_QCOW2;
    options.parents = &parents[0].known;
    options.parent_count = 2;
    GIVES(DISKIMG_OK, diskimg_open_path(in(images, "good/chain-top.qcow2"), &options, &image, &error));
    CHECK(same(image, expected));
    diskimg_close(image);
    options.parent_count = 1;
    GIVES(DISKIMG_ERR_REFERENCE, diskimg_open_path(in(images, "good/chain-top.qcow2"), &options, &image, &error));
    options.flags = DISKIMG_OPEN_REFERENCES;
    GIVES(DISKIMG_OK, diskimg_open_path(in(images, "good/chain-top.qcow2"), &options, &image, &error));
    CHECK(same(image, expected));
    diskimg_close(image);
    parents[0].known.path = NULL;
    NAMES("parents[0].path", diskimg_open_path(in(images, "good/chain-top.qcow2"), &options, &image, &error));
    options.parents = NULL;
    NAMES("parents", diskimg_open_path(in(images, "good/chain-top.qcow2"), &options, &image, &error));

    search.search_directory = folder;
    GIVES(DISKIMG_OK, diskimg_open_path(in(images, "good/chain-top.qcow2"), &search, &image, &error));
    CHECK(same(image, expected));
    diskimg_close(image);
    search.search_directory = in(scratch, "no such directory");
    GIVES(DISKIMG_ERR_IO, diskimg_open_path(in(images, "good/chain-top.qcow2"), &search, &image, &error));
    diskimg_close(expected);
}

static void settings_of_raw_are_accepted_and_listed(void) {
    diskimg_image *image = open_good("mixed.qcow2");
    diskimg_convert_options options = DISKIMG_CONVERT_OPTIONS_INIT;
    const char *path = in(scratch, "settings.raw");
    diskimg_setting setting = DISKIMG_SETTING_INIT;
    diskimg_limit limit = DISKIMG_LIMIT_INIT;
    struct stat there;
    uint32_t format;
    size_t i, with_preallocation = 0;

    options.settings = "preallocation=full,nocow=off";
    GIVES(DISKIMG_OK, convert_to_path(image, path, &options, NULL, &error));
    CHECK(stat(path, &there) == 0 && (uint64_t)there.st_blocks * 512 >= diskimg_size(image));
    CHECK(unlink(path) == 0);
    options.settings = "preallocation=metadata";
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, convert_to_path(image, path, &options, NULL, &error));
    diskimg_close(image);
    for (format = DISKIMG_FORMAT_RAW; format <= DISKIMG_FORMAT_VDI; format++) {
        CHECK(diskimg_setting_count(format) > 0);
        for (i = 0; i < diskimg_setting_count(format); i++) {
            GIVES(DISKIMG_OK, diskimg_get_setting(format, i, &setting, &error));
            CHECK(setting.name[0] != '\0' && setting.values[0] != '\0' && setting.help[0] != '\0');
            with_preallocation += strcmp(setting.name, "preallocation") == 0;
        }
        GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_get_setting(format, i, &setting, &error));
    }
    CHECK(with_preallocation >= 2);
    CHECK(diskimg_setting_count(DISKIMG_FORMAT_AUTO) == 0);
    for (i = 0; i < diskimg_limit_count(); i++) {
        char list[200];
        diskimg_open_options opening = DISKIMG_OPEN_OPTIONS_INIT;
        GIVES(DISKIMG_OK, diskimg_get_limit(i, &limit, &error));
        CHECK(limit.default_value > 0 && limit.help[0] != '\0');
        snprintf(list, sizeof list, "%s=%" PRIu64, limit.name, limit.default_value);
        opening.limits = list;
        GIVES(DISKIMG_OK, diskimg_open_path(in(images, "good/mixed.qcow2"), &opening, &image, &error));
        diskimg_close(image);
    }
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_get_limit(i, &limit, &error));
}

static void all(void) {
    target_is_exactly_one_place();
    target_that_ends_before_fd_has_no_descriptor();
    unknown_flags_and_reserved_members_are_named();
    stream_of_another_length_than_stated_leaves_no_target();
    parents_replace_the_names_in_an_image();
    settings_of_raw_are_accepted_and_listed();
}

int main(int argc, char **argv) {
    return run(argc, argv, all);
}
