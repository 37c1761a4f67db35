// SPDX-License-Identifier: MIT
// Nothing but the precompiled header that all test programs share: a library has to use it once.
