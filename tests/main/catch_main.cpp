// SPDX-License-Identifier: MIT
// The main function of every test program. Catch2 3 brings its own, so that nothing is left to do.
#if !__has_include(<catch2/catch_all.hpp>)
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
#endif
