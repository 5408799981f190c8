/* code: the refusals of ipc/codes.def as numbers of the program. */
#ifndef PICKET_AUTH_CODE_H
#define PICKET_AUTH_CODE_H

#include "ipc/codes.def"

#define X(number, name, word, text, next) CODE_##name = number,
enum auth_code { CODE_NONE = 0, AUTH_CODE_TABLE(X) };
#undef X

#endif
