#include <stdio.h>

#include "numbers.h"

int main(void)
{
	printf("%d\n", one() + two() + three() + four() + five() + six());
	return 0;
}
