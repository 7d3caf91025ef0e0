#include "numbers.h"
#include "generated.h"

int six(void)
{
	return 6 * FACTOR / 3;
}
