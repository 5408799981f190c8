#include "peer.h"
int main(void) { return 0; }
