int one(void);
int two(void);
int three(void);
int four(void);
int five(void);
int six(void);
