#include "tests/unit/store/home.h"

static void network_file_systems_are_refused_by_name(void **state)
{
    (void)state;
    assert_string_equal(filesystem_refused(0x6969), "NFS");
    assert_string_equal(filesystem_refused((long)0xFF534D42), "CIFS");
    assert_string_equal(filesystem_refused((long)(int)0xFF534D42), "CIFS");
    assert_string_equal(filesystem_refused(0x01021997), "9p");
}

static void local_file_systems_are_not(void **state)
{
    const long local[] = { 0xEF53 /* ext4 */, 0x794C7630 /* overlayfs */, 0x58465342 /* xfs */,
        (long)0x9123683E /* btrfs */, 0x01021994 /* tmpfs */, 0x2FC12FC1 /* zfs */,
        (long)0xF2F52010 /* f2fs */, (long)0xCA451A4E /* bcachefs */ };

    (void)state;
    for (size_t i = 0; i < sizeof local / sizeof *local; i++)
        assert_null(filesystem_refused(local[i]));
}

static void of_fuse_only_what_is_known_to_be_local_is_taken(void **state)
{
    (void)state;
    assert_true(filesystem_fuse_local("fuseblk"));
    assert_true(filesystem_fuse_local("fuse.fuse-overlayfs"));
    assert_false(filesystem_fuse_local("fuse.sshfs"));
    assert_false(filesystem_fuse_local("fuse"));
    assert_false(filesystem_fuse_local("virtiofs"));
}

static void a_folder_for_temporary_files_is_fit_for_a_store(void **state)
{
    struct err e = ERR_INIT;

    assert_ok(filesystem_check(*state, &e), e);
}

static void a_folder_that_is_not_there_is_an_error(void **state)
{
    struct err e = ERR_INIT;

    (void)state;
    assert_int_equal(filesystem_check("/nowhere/at/all", &e), E_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(network_file_systems_are_refused_by_name),
        cmocka_unit_test(local_file_systems_are_not),
        cmocka_unit_test(of_fuse_only_what_is_known_to_be_local_is_taken),
        home_test(a_folder_for_temporary_files_is_fit_for_a_store),
        cmocka_unit_test(a_folder_that_is_not_there_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
