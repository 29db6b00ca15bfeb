/* Invalid sizes and numbers return a status and never crash. Arguments: the images of the repository,
 * and a scratch directory. */
#include "targets.h"

static char image_path[4096], target_path[4096];
static diskimg_image *image;
static memory image_file;

static void structures_are_accepted_with_any_valid_size(void) {
    struct { diskimg_open_options known; uint64_t later; } newer = {DISKIMG_OPEN_OPTIONS_INIT, 0};
    struct { diskimg_info known; uint64_t later; } info = {DISKIMG_INFO_INIT, 77};
    static const size_t sizes[] = {0, 1, 7, 5000, SIZE_MAX};
    diskimg_image *opened;
    size_t i;

    newer.known.struct_size = sizeof newer;
    GIVES(DISKIMG_OK, diskimg_open_path(image_path, &newer.known, &opened, &error));
    diskimg_close(opened);
    newer.later = 1;
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_open_path(image_path, &newer.known, &opened, &error));
    CHECK(opened == NULL);
    info.known.struct_size = sizeof info;
    GIVES(DISKIMG_OK, diskimg_get_info(image, &info.known, &error));
    CHECK(info.later == 0 && info.known.virtual_size > 0);
    for (i = 0; i < 5; i++) {
        diskimg_io file = memory_io(&image_file);
        diskimg_convert_options options = DISKIMG_CONVERT_OPTIONS_INIT;
        newer.known.struct_size = file.struct_size = options.struct_size = info.known.struct_size = sizes[i];
        GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_open_path(image_path, &newer.known, &opened, &error));
        opened = image;
        GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_open_io(&file, NULL, &opened, &error));
        CHECK(opened == NULL);
        GIVES(DISKIMG_ERR_INVALID_ARGUMENT, convert_to_path(image, target_path, &options, NULL, &error));
        GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_get_info(image, &info.known, &error));
    }
}

static void reserved_member_is_named_if_it_is_not_zero(void) {
    diskimg_open_options options = DISKIMG_OPEN_OPTIONS_INIT;
    diskimg_image *opened;
    diskimg_error *error;

    options.reserved = 7;
    CHECK(diskimg_open_path(image_path, &options, &opened, &error) == DISKIMG_ERR_INVALID_ARGUMENT);
    CHECK(strstr(diskimg_error_message(error), "reserved is 0x7") != NULL);
    diskimg_error_free(error);
}

static void invalid_numbers_are_rejected(void) {
    diskimg_open_options options = DISKIMG_OPEN_OPTIONS_INIT;
    diskimg_convert_options convert = DISKIMG_CONVERT_OPTIONS_INIT;
    diskimg_image *opened;
    diskimg_extent run;
    diskimg_io file = memory_io(&image_file);
    unsigned char byte;
    size_t count;
    int closed = image_file.closed, pipe_ends[2];

    options.flags = 1u << 31;
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_open_path(image_path, &options, &opened, &error));
    options.flags = 0;
    options.format = 1000;
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_open_path(image_path, &options, &opened, &error));
    options.format = 0;
    options.max_virtual_size = 1;
    GIVES(DISKIMG_ERR_LIMIT, diskimg_open_path(image_path, &options, &opened, &error));
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_open_fd(-1, NULL, &opened, &error));
    GIVES(DISKIMG_ERR_IO, diskimg_open_fd(12345, NULL, &opened, &error));
    CHECK(pipe(pipe_ends) == 0);
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_open_fd(pipe_ends[0], NULL, &opened, &error));
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_open_path("/", NULL, &opened, &error));
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_open_memory(&byte, SIZE_MAX, NULL, &opened, &error));
    file.flags = 1u << 31;
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_open_io(&file, NULL, &opened, &error));
    CHECK(image_file.closed == closed + 1);
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_pread(image, &byte, SIZE_MAX, 0, NULL, &error));
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, diskimg_extents(image, 0, 1, &run, 0, &count, &error));
    GIVES(DISKIMG_ERR_OUT_OF_BOUNDS, diskimg_extents(image, UINT64_MAX, UINT64_MAX, &run, 1, &count, &error));
    convert.sparse_size = 1000;
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, convert_to_path(image, target_path, &convert, NULL, &error));
    convert.sparse_size = 0;
    convert.preallocation = 9;
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, convert_to_path(image, target_path, &convert, NULL, &error));
    convert.preallocation = 0;
    convert.settings = "no such setting";
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, convert_to_path(image, target_path, &convert, NULL, &error));
    convert.settings = "\xff=1";
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, convert_to_path(image, target_path, &convert, NULL, &error));
    GIVES(DISKIMG_ERR_INVALID_ARGUMENT, convert_to_fd(image, -1, NULL, NULL, &error));
    CHECK(access(target_path, F_OK) != 0);
}

int main(int argc, char **argv) {
    CHECK(argc == 3);
    snprintf(image_path, sizeof image_path, "%s/good/v3.qcow2", argv[1]);
    snprintf(target_path, sizeof target_path, "%s/misuse", argv[2]);
    image_file = load(argv[1], "good/v3.qcow2");
    GIVES(DISKIMG_OK, diskimg_open_path(image_path, NULL, &image, &error));
    structures_are_accepted_with_any_valid_size();
    reserved_member_is_named_if_it_is_not_zero();
    invalid_numbers_are_rejected();
    diskimg_close(image);
    free(image_file.bytes);
    return 0;
}
