/* An nbdkit plugin: NBD clients read every format that libdiskimg supports.
 *
 *     cc -shared -fPIC -o nbdkit-diskimg-plugin.so nbdkit-diskimg-plugin.c \
 *         $(pkg-config --cflags nbdkit) $(pkg-config --cflags --libs diskimg)
 *     nbdkit -f ./nbdkit-diskimg-plugin.so disk.qcow2
 *     nbdkit -U - ./nbdkit-diskimg-plugin.so disk.qcow2.xz --run 'nbdcopy "$uri" disk.raw'
 *
 * file=NAME         the image; required
 * format=NAME       its format; detected by default
 * references=BOOL   open backing files in the directory of the image; off by default
 */
#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include <diskimg.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

static char *file;
static diskimg_open_options options = DISKIMG_OPEN_OPTIONS_INIT;
/* One image for all clients. Any thread may read it. */
static diskimg_image *image;

/* Reports an error of the library to nbdkit, which sends the errno to the client. */
static int failed(const char *what, diskimg_error *error) {
    int code = diskimg_error_os_code(error);

    nbdkit_error("%s: %s: %s", file, what, diskimg_error_message(error));
    nbdkit_set_error(code == 0 ? EIO : code);
    diskimg_error_free(error);
    return -1;
}

static int diskimg_plugin_config(const char *key, const char *value) {
    if (strcmp(key, "file") == 0) {
        free(file);
        file = nbdkit_realpath(value);
        return file == NULL ? -1 : 0;
    }
    if (strcmp(key, "format") == 0) {
        options.format = diskimg_format_by_name(value);
        if (options.format == DISKIMG_FORMAT_AUTO) {
            nbdkit_error("unknown format '%s'", value);
            return -1;
        }
        return 0;
    }
    if (strcmp(key, "references") == 0) {
        int follow = nbdkit_parse_bool(value);
        if (follow == 1) {
            options.flags |= DISKIMG_OPEN_REFERENCES;
        }
        return follow == -1 ? -1 : 0;
    }
    nbdkit_error("unknown parameter '%s'", key);
    return -1;
}

static int diskimg_plugin_config_complete(void) {
    if (file == NULL) {
        nbdkit_error("the parameter file=NAME is required");
        return -1;
    }
    return 0;
}

/* Called before nbdkit becomes a daemon, so that errors are visible. */
static int diskimg_plugin_get_ready(void) {
    diskimg_error *error;

    if (diskimg_open_path(file, &options, &image, &error) != DISKIMG_OK) {
        return failed("open", error);
    }
    return 0;
}

static void diskimg_plugin_unload(void) {
    diskimg_close(image);
    free(file);
}

static void *diskimg_plugin_open(int readonly) {
    (void)readonly;
    return NBDKIT_HANDLE_NOT_NEEDED;
}

static int64_t diskimg_plugin_get_size(void *handle) {
    (void)handle;
    return (int64_t)diskimg_size(image);
}

static int diskimg_plugin_can_multi_conn(void *handle) {
    (void)handle;
    return 1;
}

static int diskimg_plugin_can_cache(void *handle) {
    (void)handle;
    return NBDKIT_CACHE_NONE;
}

static int diskimg_plugin_pread(void *handle, void *buf, uint32_t count, uint64_t offset, uint32_t flags) {
    diskimg_error *error;

    (void)handle;
    (void)flags;
    if (diskimg_pread(image, buf, count, offset, NULL, &error) != DISKIMG_OK) {
        return failed("read", error);
    }
    return 0;
}

static int diskimg_plugin_can_extents(void *handle) {
    (void)handle;
    return 1;
}

static int diskimg_plugin_extents(void *handle, uint32_t count, uint64_t offset, uint32_t flags,
                                  struct nbdkit_extents *extents) {
    diskimg_extent entries[64];
    diskimg_error *error;
    uint64_t end = offset + count;
    size_t number, i;

    (void)handle;
    while (offset < end) {
        if (diskimg_extents(image, offset, end - offset, entries, 64, &number, &error) != DISKIMG_OK) {
            return failed("extents", error);
        }
        for (i = 0; i < number; i++) {
            uint32_t type = 0;
            if (entries[i].flags & DISKIMG_EXTENT_ZERO) {
                type |= NBDKIT_EXTENT_ZERO;
                if (!(entries[i].flags & DISKIMG_EXTENT_DATA)) {
                    type |= NBDKIT_EXTENT_HOLE;
                }
            }
            if (nbdkit_add_extent(extents, entries[i].start, entries[i].length, type) == -1) {
                return -1;
            }
            offset = entries[i].start + entries[i].length;
        }
        if (flags & NBDKIT_FLAG_REQ_ONE) {
            break;
        }
    }
    return 0;
}

static struct nbdkit_plugin plugin = {
    .name = "diskimg",
    .longname = "virtual-disk images with libdiskimg, read-only",
    .version = "0.1",
    .unload = diskimg_plugin_unload,
    .config = diskimg_plugin_config,
    .config_complete = diskimg_plugin_config_complete,
    .config_help = "file=<FILENAME>    (required) The image.\n"
                   "format=<NAME>      Its format; detected by default.\n"
                   "references=<BOOL>  Open backing files in its directory.",
    .magic_config_key = "file",
    .get_ready = diskimg_plugin_get_ready,
    .open = diskimg_plugin_open,
    .get_size = diskimg_plugin_get_size,
    .can_multi_conn = diskimg_plugin_can_multi_conn,
    .can_cache = diskimg_plugin_can_cache,
    .pread = diskimg_plugin_pread,
    .can_extents = diskimg_plugin_can_extents,
    .extents = diskimg_plugin_extents,
};

NBDKIT_REGISTER_PLUGIN(plugin)
