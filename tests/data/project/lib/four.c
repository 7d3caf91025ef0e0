#include "numbers.h"
#include "generated.h"

int four(void)
{
	return 4 * FACTOR / 3;
}
